//! The same over TLS, with authorities made here.

use std::io::Write;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

const NAME: &str = "name.example";

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// A server for `name`, with a certificate that ends in `year`.
    async fn server(&self, name: &str, year: i32) -> (SocketAddr, Arc<Log>) {
        let (key, mut params) =
            (KeyPair::generate().unwrap(), CertificateParams::new(vec![name.to_owned()]).unwrap());
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (address, log) = (listener.local_addr().unwrap(), Arc::new(Log::default()));
        let found = log.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                log.accepted.fetch_add(1, Ordering::Relaxed);
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                tokio::spawn(serve_one(stream, log.clone(), Arc::new(|_| say(OK))));
            }
        });
        (address, found)
    }

    /// A client that trusts this authority and looks every name up as 127.0.0.1.
    fn client(&self, host: &str, port: u16) -> Client {
        let mut options = options(&format!("https://{host}:{port}/"), &["127.0.0.1"]);
        options.ca_file = Some(self.file.path().to_owned());
        options.connect_timeout = Duration::from_millis(500);
        let here = || Box::pin(async { Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]) }) as _;
        Client::open(options).unwrap().with_lookups(here)
    }
}

#[tokio::test]
async fn https_with_kept_connections_and_large_bodies() {
    let authority = Authority::new("known");
    for host in [NAME, "127.0.0.1"] {
        let (address, log) = authority.server(host, 2999).await;
        let client = authority.client(host, address.port());
        let body: Vec<u8> = (0..3_u32 << 20).map(|at| (at % 251) as u8).collect();
        client.send(request("{}")).await.unwrap();
        client.send(request(body.clone())).await.unwrap();
        client.send(request("{}")).await.unwrap();
        assert_eq!(log.accepted(), 1, "{host}");
        assert!(log.requests.lock().unwrap()[1].1 == body, "{host}: the body is another one");
    }
}

#[tokio::test]
async fn what_cannot_be_trusted_is_not_sent_to() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    for (authority, name, year, expected) in [
        (&known, NAME, 2001, "TLS: certificate expired"),
        (&known, "other.example", 2999, "TLS: certificate not valid for name \"name.example\""),
        (&unknown, NAME, 2999, "TLS: no known authority signed the certificate; name the file"),
    ] {
        let (address, log) = authority.server(name, year).await;
        let reason = send(&known.client(NAME, address.port())).await.unwrap_err();
        assert!(reason.starts_with(expected), "{reason} instead of {expected}");
        assert_eq!(log.requests(), 0);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let authority = Authority::new("known");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = authority.client(NAME, listener.local_addr().unwrap().port());
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 10]).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (sent, _stream) = tokio::join!(send(&client), answering);
    assert_eq!(sent.unwrap_err(), "TLS: the server does not speak TLS on this port");
    let closing = async { drop(listener.accept().await.unwrap()) };
    let (sent, ()) = tokio::join!(send(&client), closing);
    assert!(sent.unwrap_err().starts_with("TLS: "));
    // The kernel accepts; nobody shakes hands.
    let reason = send(&client).await.unwrap_err();
    let address = listener.local_addr().unwrap();
    assert_eq!(reason, format!("timed out after 500ms while shaking hands (TLS) with {address}"));
}

#[test]
fn a_file_of_authorities_is_checked() {
    let open = |url: &str, file: &std::path::Path| {
        let mut options = options(url, &[]);
        options.ca_file = Some(file.to_owned());
        Client::open(options).err().unwrap_or_default()
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    assert!(open("https://h/", file.path()).contains("holds no certificate"));
    assert!(open("http://h/", file.path()).contains("https URL only"));
    assert!(open("https://h/", "/nowhere/ca.pem".as_ref()).contains("cannot read `ca_file` /nowhere/ca.pem"));
    file.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(open("https://h/", file.path()).contains("cannot read `ca_file`"));
}
