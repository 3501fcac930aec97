//! Certificates for servers on loopback.

pub struct Certificate {
    pub ca: String,
    pub chain: String,
    pub key: String,
}

/// A certificate by a CA of its own, for that name, valid from one year to another.
pub fn certificate(name: &str, from: i32, until: i32) -> Certificate {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(from, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
    leaf.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    Certificate { ca: ca_pem, chain, key: key.serialize_pem() }
}

pub fn loopback_certificate() -> Certificate {
    certificate("127.0.0.1", 2020, 2100)
}
