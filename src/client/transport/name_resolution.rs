//! Name resolution only when a connection is opened.
//!
//! ureq resolves the host name before it looks for an idle connection, and with a timeout set it starts a
//! thread for each look-up. A call on a kept connection then costs more for the look-up than for everything
//! else. Here the look-up waits until the connector runs, which is when no idle connection was found.
//!
//! This file alone uses `ureq::unversioned`, whose interface may change in any release of ureq. The feature
//! `ureq-unversioned` switches it off.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use http::Uri;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport as UreqTransport,
};
use ureq::{Agent, Error, Timeout};

/// Stands for an address that is not resolved yet. No connection can be opened to it.
const UNRESOLVED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Returns an agent that resolves a name when it opens a connection.
pub(super) fn agent(config: Config) -> Agent {
    Agent::with_parts(config, ResolvingConnector::new(DefaultResolver::default()), DeferringResolver)
}

/// Leaves the look-up to the connector.
#[derive(Debug)]
struct DeferringResolver;

impl Resolver for DeferringResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(one(self, UNRESOLVED))
    }
}

/// Resolves the name, then connects as ureq does.
#[derive(Debug)]
struct ResolvingConnector<R> {
    resolver: R,
    inner: DefaultConnector,
}

impl<R: Resolver> ResolvingConnector<R> {
    fn new(resolver: R) -> Self {
        Self { resolver, inner: DefaultConnector::default() }
    }

    fn resolve(&self, details: &ConnectionDetails<'_>) -> Result<ResolvedSocketAddrs, Error> {
        if let Some(address) = literal_address(details.uri) {
            return Ok(one(&self.resolver, address));
        }
        let mut timeout = details.timeout;
        // The limit for look-ups alone, which ureq applies before the connector runs.
        if let Some(limit) = details.config.timeouts().resolve.filter(|limit| *limit < *timeout.after) {
            (timeout.after, timeout.reason) = (Duration::Exact(limit), Timeout::Resolve);
        }
        self.resolver.resolve(details.uri, details.config, timeout)
    }
}

impl<R: Resolver> Connector for ResolvingConnector<R> {
    type Out = Box<dyn UreqTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let started = Instant::now();
        // Through a proxy that resolves the target itself there is no address.
        let addrs = match *details.addrs == [UNRESOLVED] {
            true => self.resolve(details)?,
            false => details.addrs.iter().fold(self.resolver.empty(), |mut addresses, address| {
                addresses.push(*address);
                addresses
            }),
        };
        let mut timeout = details.timeout;
        if let Duration::Exact(after) = timeout.after {
            timeout.after = Duration::Exact(after.saturating_sub(started.elapsed()));
        }
        let details = ConnectionDetails {
            uri: details.uri,
            addrs,
            config: details.config,
            request_level: details.request_level,
            // A connector that looks up the name of a proxy needs its address at once.
            resolver: &self.resolver,
            now: details.now,
            timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        self.inner.connect(&details, chained)
    }
}

/// The address in a URI whose host is an IP address, for which no look-up is needed.
fn literal_address(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address: IpAddr = host.parse().ok()?;
    let default_port = match uri.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some(SocketAddr::new(address, uri.port_u16().unwrap_or(default_port)))
}

fn one(resolver: &dyn Resolver, address: SocketAddr) -> ResolvedSocketAddrs {
    let mut addresses = resolver.empty();
    addresses.push(address);
    addresses
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// Resolves every name to loopback and counts the look-ups.
    #[derive(Debug, Clone, Default)]
    struct CountingResolver(Arc<AtomicUsize>);

    impl Resolver for CountingResolver {
        fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            assert!(*timeout.after <= std::time::Duration::from_secs(5), "the timeout of the call applies");
            self.0.fetch_add(1, Ordering::SeqCst);
            let port = uri.port_u16().unwrap();
            Ok(one(self, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
        }
    }

    /// A server that closes each connection after that many responses.
    fn server(responses: usize) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for number in 1..=responses {
                    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                    let close = if number == responses { "connection: close\r\n" } else { "" };
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{close}\r\nok");
                    stream.write_all(head.as_bytes()).unwrap();
                }
            }
        });
        port
    }

    fn agent_with(resolver: &CountingResolver) -> Agent {
        let timeout = Some(std::time::Duration::from_secs(5));
        let config = Agent::config_builder().timeout_global(timeout).build();
        Agent::with_parts(config, ResolvingConnector::new(resolver.clone()), DeferringResolver)
    }

    fn get(agent: &Agent, url: &str) {
        assert_eq!(agent.get(url).call().unwrap().body_mut().read_to_string().unwrap(), "ok");
    }

    #[test]
    fn a_name_is_resolved_once_for_each_connection() {
        let (resolver, port) = (CountingResolver::default(), server(3));
        let agent = agent_with(&resolver);
        let lookups: Vec<_> = (0..6)
            .map(|_| {
                get(&agent, &format!("http://some.name.example:{port}/"));
                resolver.0.load(Ordering::SeqCst)
            })
            .collect();
        // The server closes the connection after the third response.
        assert_eq!(lookups, [1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn an_address_is_not_looked_up() {
        let (resolver, port) = (CountingResolver::default(), server(1));
        get(&agent_with(&resolver), &format!("http://127.0.0.1:{port}/"));
        assert_eq!(resolver.0.load(Ordering::SeqCst), 0);
        let address = |uri: &str| literal_address(&uri.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(address("https://[::1]/x").as_deref(), Some("[::1]:443"));
        assert_eq!(address("http://192.0.2.1/").as_deref(), Some("192.0.2.1:80"));
        assert_eq!(address("http://192.0.2.1.example/"), None);
    }

    #[test]
    fn a_look_up_that_fails_is_the_error_of_the_call() {
        #[derive(Debug)]
        struct NoSuchHost;
        impl Resolver for NoSuchHost {
            fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
                Err(Error::HostNotFound)
            }
        }
        let config = Agent::config_builder().build();
        let agent = Agent::with_parts(config, ResolvingConnector::new(NoSuchHost), DeferringResolver);
        assert!(matches!(agent.get("http://no.such.host.example/").call(), Err(Error::HostNotFound)));
    }
}
