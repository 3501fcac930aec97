// A throw-away PKI made at start-up: a CA, a server certificate for localhost/127.0.0.1/::1, a client certificate
// issued by that CA (tls_client_auth), one for somebody else, and a self-signed one (self_signed_tls_client_auth).
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const { subtle } = crypto;
const alg = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
x509.cryptoProvider.set(crypto);

const ANY = { notBefore: new Date(Date.now() - 3600e3), notAfter: new Date(Date.now() + 7 * 86400e3), signingAlgorithm: alg };
const usages = (flags, eku) => [new x509.KeyUsagesExtension(flags, true), ...(eku ? [new x509.ExtendedKeyUsageExtension([eku])] : [])];
const newKeys = () => subtle.generateKey(alg, true, ['sign', 'verify']);
const keyPem = async (keys) => x509.PemConverter.encode(await subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
let serial = 16;

export async function makePki() {
  const caKeys = await newKeys();
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    ...ANY, serialNumber: '01', name: 'CN=interop test CA,O=loopback', keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      ...usages(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });

  const issue = async (subject, eku, san) => {
    const keys = await newKeys();
    const cert = await x509.X509CertificateGenerator.create({
      ...ANY, serialNumber: (serial += 1).toString(16), subject, issuer: ca.subject,
      publicKey: keys.publicKey, signingKey: caKeys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        ...usages(x509.KeyUsageFlags.digitalSignature, eku),
        new x509.SubjectAlternativeNameExtension(san),
        await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    });
    return { cert: cert.toString('pem'), key: await keyPem(keys), subject };
  };

  const server = await issue('CN=localhost,O=loopback', x509.ExtendedKeyUsage.serverAuth, [
    { type: 'dns', value: 'localhost' }, { type: 'ip', value: '127.0.0.1' }, { type: 'ip', value: '::1' },
  ]);
  const issueClient = async (name) => {
    const san = `${name}.interop.test`;
    return { ...await issue(`CN=mtls ${name},O=loopback`, x509.ExtendedKeyUsage.clientAuth, [{ type: 'dns', value: san }]), san };
  };
  const [client, stranger] = [await issueClient('client'), await issueClient('stranger')];

  const ssKeys = await newKeys();
  const ss = await x509.X509CertificateGenerator.createSelfSigned({
    ...ANY, serialNumber: '0a', name: 'CN=self-signed client', keys: ssKeys,
    extensions: [...usages(x509.KeyUsageFlags.digitalSignature, x509.ExtendedKeyUsage.clientAuth)],
  });
  const selfSigned = {
    cert: ss.toString('pem'), key: await keyPem(ssKeys),
    jwk: { ...await subtle.exportKey('jwk', ssKeys.publicKey), key_ops: undefined, ext: undefined, x5c: [ss.toString('base64')] },
  };
  return { ca: ca.toString('pem'), server, client, stranger, selfSigned };
}
