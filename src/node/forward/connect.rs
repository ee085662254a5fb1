//! A new connection: look the name up, drop the addresses that are refused, connect to one of the others.
//!
//! Between the verdict on an address and the connection to it there is no second look-up, so a name server that changes
//! its answer gains nothing. A kept connection stays with its address.

use std::io;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::guard::Guard;
use super::target::Target;
use super::tls;

/// Look-ups that one client has under way. One cannot be given up, it blocks a thread until the system's resolver has
/// an answer or enough of waiting for one.
const LOOKUPS_MAX: usize = 4;

/// Addresses of one name that are tried, each with its share of the time.
const ADDRESSES_MAX: usize = 8;

/// Makes connections to one target.
pub(super) struct Connector {
    target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    guard: Guard,
    resolver: Resolver,
    timeout: Duration,
}

impl Connector {
    pub fn new(
        target: Target,
        guard: Guard,
        ca_file: Option<&std::path::Path>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let tls = match target.is_https() {
            true => {
                let name = ServerName::try_from(target.host().trim_end_matches('.').to_owned());
                let name = name.map_err(|_| format!("`{}` is no name for a certificate", target.host()))?;
                Some((tls::connector(ca_file)?, name))
            }
            false if ca_file.is_some() => return Err("`ca_file` is of use to an https URL only".into()),
            false => None,
        };
        let resolver = Resolver::System(Arc::new(Semaphore::new(LOOKUPS_MAX)));
        Ok(Self { target, tls, guard, resolver, timeout })
    }

    /// Answers look-ups as a test wants.
    #[cfg(test)]
    pub fn with_lookups(mut self, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        self.resolver = Resolver::Test(Box::new(answer));
        self
    }

    /// Connects before `deadline`, and in any case within the client's time for that.
    pub async fn connect(&self, deadline: Instant) -> Result<(Stream, SocketAddr), String> {
        let started = Instant::now();
        let deadline = deadline.min(started + self.timeout);
        let late = |what: &str| {
            // In milliseconds: what the exchange spent before is noise to a reader.
            let after = deadline.saturating_duration_since(started).as_secs_f64();
            let after = Duration::from_millis((after * 1000.0).ceil() as u64);
            format!("timed out after {} while {what}", humantime::format_duration(after))
        };
        let host = self.target.host();
        let addresses = timeout_at(deadline, self.addresses())
            .await
            .map_err(|_| late(&format!("looking `{host}` up")))??;
        let (tcp, address) = connect_to_one(&addresses, deadline, &late).await?;
        // Heads and small bodies leave in one write; nothing is gained by waiting for more.
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some((connector, name)) = &self.tls else { return Ok((Stream::Plain(tcp), address)) };
        let stream = timeout_at(deadline, connector.connect(name.clone(), tcp))
            .await
            .map_err(|_| late(&format!("shaking hands (TLS) with {address}")))?
            .map_err(|error| format!("TLS: {}", tls::reason(&error)))?;
        Ok((Stream::Tls(Box::new(stream)), address))
    }

    /// The addresses that may be connected to.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = (self.target.host(), self.target.port());
        if let Some(address) = self.target.address() {
            let address = self.guard.check(address).map_err(|refused| format!("the target is {refused}"))?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.resolver.look_up(host, port).await;
        let found = found.map_err(|error| format!("cannot look `{host}` up: {error}"))?;
        let (mut addresses, mut last) = (Vec::new(), None);
        for address in found {
            match self.guard.check(address.ip()) {
                Ok(ip) => addresses.push(SocketAddr::new(ip, port)),
                Err(refused) => last = Some(refused),
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        match last {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(refused) => Err(format!("`{host}` is {refused}")),
            None => Err(format!("`{host}` has no address")),
        }
    }
}

async fn connect_to_one(
    addresses: &[SocketAddr],
    deadline: Instant,
    late: &impl Fn(&str) -> String,
) -> Result<(TcpStream, SocketAddr), String> {
    let mut reason = String::new();
    for (index, address) in addresses.iter().enumerate() {
        // One that does not answer must not take the time of those behind it.
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok((tcp, *address)),
            Ok(Err(error)) => reason = refusal(&error, *address),
            Err(_) => reason = late(&format!("connecting to {address}")),
        }
    }
    match addresses.len() {
        1 => Err(reason),
        more => Err(format!("{reason} (the last of {more} addresses)")),
    }
}

fn refusal(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("connection refused by {address}"),
        _ => format!("cannot connect to {address}: {error}"),
    }
}

/// Who is asked for the addresses of a name.
enum Resolver {
    /// The system's, `getaddrinfo` on a blocking thread.
    System(Arc<Semaphore>),
    #[cfg(test)]
    Test(Box<dyn Fn() -> Answer + Send + Sync>),
}

#[cfg(test)]
pub(super) type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

impl Resolver {
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System(lookups) => {
                let permit = lookups.clone().acquire_owned().await.map_err(io::Error::other)?;
                let name = (host.to_owned(), port);
                let look_up = move || {
                    // Held until the thread is free again, even if nobody waits for it any more.
                    let _permit = permit;
                    name.to_socket_addrs().map(Vec::from_iter)
                };
                tokio::task::spawn_blocking(look_up).await.map_err(io::Error::other)?
            }
            #[cfg(test)]
            Self::Test(answer) => answer().await,
        }
    }
}

/// A connection, encrypted or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn connector(url: &str, allow: &[&str]) -> Connector {
        let (target, _) = Target::parse(url).unwrap();
        let guard = Guard::new(allow.iter().copied()).unwrap();
        Connector::new(target, guard, None, Duration::from_secs(5)).unwrap()
    }

    /// A name server that answers with the rows in turn.
    fn answering(rows: &'static [&'static [&'static str]]) -> impl Fn() -> Answer + Send + Sync {
        let asked = AtomicUsize::new(0);
        move || {
            let row = rows[asked.fetch_add(1, Ordering::Relaxed)];
            Box::pin(async { Ok(row.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect()) })
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_dropped_at_every_look_up() {
        let rows: &[&[&str]] = &[
            &["93.184.216.34"],
            &["127.0.0.1"],
            &["10.0.0.1", "93.184.216.34", "::1", "2606:4700::1111"],
            &["::ffff:93.184.216.34"],
            &["::ffff:127.0.0.1", "fd00:ec2::254"],
            &[],
        ];
        let connector = connector("http://name.example:81/", &[]).with_lookups(answering(rows));
        for expected in [
            Ok("93.184.216.34:81"),
            Err("`name.example` is 127.0.0.1, a loopback address"),
            Ok("93.184.216.34:81 [2606:4700::1111]:81"),
            Ok("93.184.216.34:81"),
            Err("`name.example` is fd00:ec2::254, a private address"),
            Err("`name.example` has no address"),
        ] {
            let found = connector.addresses().await;
            let found = found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(part)) => assert!(found.starts_with(part), "{found}"),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[tokio::test]
    async fn only_so_many_addresses_are_tried() {
        let rows: &[&[&str]] = &[&["1.1.1.1"; 100]];
        let connector = connector("http://name.example/", &[]).with_lookups(answering(rows));
        assert_eq!(connector.addresses().await.unwrap().len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn the_system_is_asked_for_what_is_no_address() {
        // Every spelling that inet_aton(3) takes for 127.0.0.1, and the name itself.
        for host in ["localhost", "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "017700000001"]
        {
            let refused = connector(&format!("http://{host}/"), &[]).addresses().await.unwrap_err();
            assert!(refused.contains("loopback"), "{host}: {refused}");
        }
        let refused = connector("http://0/", &[]).addresses().await.unwrap_err();
        assert!(refused.contains("0.0.0.0"), "{refused}");
        let unknown = connector("http://name.invalid/", &[]).addresses().await.unwrap_err();
        assert!(unknown.starts_with("cannot look `name.invalid` up"), "{unknown}");
        let allowed = connector("http://127.1:9/", &["127.0.0.1"]).addresses().await.unwrap();
        assert_eq!(allowed, ["127.0.0.1:9".parse().unwrap()]);
    }

    #[tokio::test]
    async fn one_address_that_does_not_answer_leaves_time_for_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, full) = (listener.local_addr().unwrap(), FullListener::new());
        let deadline = Instant::now() + Duration::from_millis(300);
        let late = |what: &str| what.to_owned();
        let (_, address) = connect_to_one(&[full.address, open], deadline, &late).await.unwrap();
        assert_eq!(address, open);
        let deadline = Instant::now() + Duration::from_millis(100);
        let reason = connect_to_one(&[full.address], deadline, &late).await.unwrap_err();
        assert_eq!(reason, format!("connecting to {}", full.address));
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let reason = connect_to_one(&[closed, closed], deadline, &late).await.unwrap_err();
        assert_eq!(reason, format!("connection refused by {closed} (the last of 2 addresses)"));
    }

    /// Its queue is full, so that the kernel lets further connections wait.
    struct FullListener {
        address: SocketAddr,
        _listener: socket2::Socket,
        _queued: Vec<std::net::TcpStream>,
    }

    impl FullListener {
        fn new() -> Self {
            let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
            listener.listen(0).unwrap();
            let address = listener.local_addr().unwrap().as_socket().unwrap();
            let queue = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
            let queued = std::iter::from_fn(queue).take(100).collect::<Vec<_>>();
            assert!(queued.len() < 100, "the queue never fills");
            Self { address, _listener: listener, _queued: queued }
        }
    }
}
