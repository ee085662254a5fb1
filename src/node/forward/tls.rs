//! TLS: rustls with the cryptography of ring, named at each use, so that nothing hangs on a default of the process.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

/// The system's authorities, read once by the first node that needs them: hundreds of certificates.
static SYSTEM: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);

/// Trusts the authorities in `ca_file` and no other, or those of the system.
///
/// # Errors
/// When there is none.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    if let Some(path) = ca_file {
        return Ok(config(from_file(path)?)?.into());
    }
    let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    let config = match &*system {
        Some(config) => config.clone(),
        None => {
            let found = rustls_native_certs::load_native_certs();
            system.insert(config(from_system(found.certs, &found.errors)?)?).clone()
        }
    };
    Ok(config.into())
}

fn from_file(path: &Path) -> Result<RootCertStore, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("cannot read `ca_file` {}: {what}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    match roots.is_empty() {
        true => Err(wrong(&"it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")),
        false => Ok(roots),
    }
}

fn from_system(
    certificates: Vec<CertificateDer<'static>>,
    errors: &[rustls_native_certs::Error],
) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // A store may hold one that rustls does not understand; the others are as good as before.
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        let why = errors.first().map_or(String::new(), |error| format!(" ({error})"));
        return Err(format!(
            "https needs the certificates of authorities, and this system has none{why}; \
             install the package ca-certificates, or name a file in `ca_file`"
        ));
    }
    Ok(roots)
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Why a handshake failed, in the operator's words.
pub(super) fn reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(error)) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "certificate expired".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "certificate not valid yet; is the clock right?".into()
            }
            CertificateError::UnknownIssuer => {
                "no known authority signed the certificate; name the file of its authority in `ca_file`"
                    .into()
            }
            // Those with a context print as a sentence, the others as their name.
            other => other.to_string(),
        },
        // What a server that speaks plain HTTP answers a handshake with.
        Some(Error::InvalidMessage(_)) => "the server does not speak TLS on this port".into(),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed during the handshake".into()
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_certificates_is_told_what_to_install() {
        let reason = from_system(Vec::new(), &[]).unwrap_err();
        assert!(reason.contains("the package ca-certificates"), "{reason}");
        let broken = CertificateDer::from(vec![1, 2, 3]);
        assert!(from_system(vec![broken], &[]).is_err(), "one that is not understood is none");
    }
}
