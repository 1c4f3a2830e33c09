//! TLS as the files say now: certificate, key and clients' authorities are looked at again while the
//! gateway runs, at most once a second and only when a connection comes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};

use super::any_certificate::AnyCertificate;
use super::config::{ClientAuth, TlsConfig, TlsVersion};
use crate::watched::{News, Watched};

/// Larger than any bundle of certificates.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why TLS cannot be spoken as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read.
    #[error("{setting}: cannot read {}: {source} (expected a PEM file)", path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{setting}: {}: {why} (expected {expected})", path.display())]
    Pem {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why it does not.
        why: String,
    },
    /// The key is not that of the certificate, or one of them is of a kind that is not known.
    #[error(
        "{} and {}: {why} (expected a certificate and its own key)",
        cert.display(), key.display()
    )]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What does not fit.
        why: String,
    },
}

/// TLS for a listener, with what its files held at most a second ago.
pub struct Tls {
    config: TlsConfig,
    current: Watched<Files, Arc<Current>>,
}

/// What a new connection is to speak.
pub(super) struct Current {
    pub(super) server: Arc<ServerConfig>,
    pub(super) demands: Demands,
}

/// What is asked of clients. A connection that came in by other demands has to come again.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Demands {
    auth: ClientAuth,
    min_version: TlsVersion,
    /// The file of the clients' authorities.
    authorities: Arc<[u8]>,
}

impl Current {
    fn new(config: &TlsConfig, files: &Files) -> Result<Arc<Self>, TlsFault> {
        let server = Arc::new(files.server(config)?);
        Ok(Arc::new(Self { server, demands: Demands::new(config, files) }))
    }
}

impl Demands {
    fn new(config: &TlsConfig, files: &Files) -> Self {
        let authorities = files.client_ca.as_slice().into();
        Self { auth: config.client_auth_type, min_version: config.min_version, authorities }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// If one cannot be read or holds something else than it should, or if certificate and key are
    /// no pair.
    pub fn open(config: &TlsConfig) -> Result<Arc<Self>, TlsFault> {
        let files = Files::read(config)?;
        let current = Current::new(config, &files)?;
        Ok(Arc::new(Self { config: config.clone(), current: Watched::new(files, current) }))
    }

    /// What a new connection is to speak. If the files have become unreadable, or are no pair (one
    /// is replaced before the other), what they held last stays in use.
    pub(super) fn current(&self) -> Arc<Current> {
        let path = self.config.cert_file.display();
        self.current.current(
            || Files::read(&self.config),
            |files| Current::new(&self.config, files),
            |news| match news {
                News::Changed => {
                    tracing::info!(%path, "TLS files changed, new connections get what they hold");
                }
                News::Mended => tracing::info!(%path, "TLS files are again what is in use"),
                News::Unfit(fault) => tracing::warn!(
                    error = %fault, "TLS files unfit, what they held last stays in use"
                ),
            },
        )
    }

    /// What is asked of clients, as far as the files have been looked at.
    pub(super) fn demands(&self) -> Demands {
        self.current.in_use().demands.clone()
    }
}

/// What the files hold. Never shown: one of them is a key.
#[derive(PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, TlsFault> {
        let client_ca = config.client_ca_file.as_ref();
        Ok(Self {
            cert: read("cert_file", &config.cert_file)?,
            key: read("key_file", &config.key_file)?,
            client_ca: client_ca
                .map(|path| read("client_ca_file", path))
                .transpose()?
                .unwrap_or_default(),
        })
    }

    fn server(&self, config: &TlsConfig) -> Result<ServerConfig, TlsFault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates("cert_file", &config.cert_file, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| TlsFault::Pem {
            setting: "key_file",
            path: config.key_file.clone(),
            expected: "a private key in PEM, not encrypted",
            why: trouble(&error).to_owned(),
        })?;
        let pair = |error: &Error| TlsFault::Pair {
            cert: config.cert_file.clone(),
            key: config.key_file.clone(),
            why: match error {
                Error::InconsistentKeys(_) => "they do not belong together".to_owned(),
                other => other.to_string(),
            },
        };
        let versions: &[_] = match config.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| pair(&error))?;
        let mut server = match self.verifier(config, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        }
        .with_single_cert(chain, key)
        .map_err(|error| pair(&error))?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(server)
    }

    fn verifier(
        &self,
        config: &TlsConfig,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFault> {
        let auth = config.client_auth_type;
        if auth == ClientAuth::NoClientCert {
            return Ok(None);
        }
        let mut authorities = RootCertStore::empty();
        if let Some(path) = &config.client_ca_file {
            let setting = "client_ca_file";
            for certificate in certificates(setting, path, &self.client_ca)? {
                authorities.add(certificate).map_err(|error| TlsFault::Pem {
                    setting,
                    path: path.clone(),
                    expected: "certificates of authorities in PEM",
                    why: error.to_string(),
                })?;
            }
        }
        if !auth.verifies() {
            let (mandatory, hints) = (auth.is_mandatory(), authorities.subjects());
            return Ok(Some(Arc::new(AnyCertificate { mandatory, hints, provider })));
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
        let builder = if auth.is_mandatory() { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build().map_err(|error| TlsFault::Pem {
            setting: "client_ca_file",
            path: config.client_ca_file.clone().unwrap_or_default(),
            expected: "certificates of authorities in PEM",
            why: error.to_string(),
        })?;
        Ok(Some(verifier))
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsFault> {
    let file = |source| TlsFault::File { setting, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let reader = File::open(path).map_err(file)?;
    let length = reader.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(file)?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(file(io::Error::new(io::ErrorKind::InvalidData, "larger than 4 MiB")));
    }
    Ok(bytes)
}

/// The certificates of a file, at least one.
fn certificates(
    setting: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let expected = "certificates in PEM";
    let fault =
        |why: &str| TlsFault::Pem { setting, path: path.to_owned(), expected, why: why.to_owned() };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => {
            Err(fault(trouble(&pem::Error::NoItemsFound)))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(fault(trouble(&error))),
    }
}

/// What is wrong with a PEM file, without a word of what stands in it.
fn trouble(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "holds none",
        pem::Error::MissingSectionEnd { .. } => "ends within a section",
        pem::Error::Base64Decode(_) => "holds broken Base64",
        _ => "is no PEM",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::watched::FRESH;

    /// What the log says, by level.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        /// Warnings and notes since the last look.
        fn take(&self) -> (usize, usize) {
            let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
            assert!(!text.contains("BEGIN"), "{text}");
            (text.matches("WARN").count(), text.matches("INFO").count())
        }
    }

    fn write(directory: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.join("cert"), certificate.pem()).unwrap();
        std::fs::write(directory.join("key"), key.serialize_pem()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_replacement_that_is_unfit_is_told_once_and_leaves_the_last_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (directory.path().join("cert"), directory.path().join("key"));
        write(directory.path());
        let config = TlsConfig {
            cert_file: cert.clone(),
            key_file: key.clone(),
            client_ca_file: Some(directory.path().join("cert")),
            client_auth_type: ClientAuth::VerifyClientCertIfGiven,
            min_version: TlsVersion::Tls12,
        };
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let _log = tracing::subscriber::set_default(subscriber);
        let tls = Tls::open(&config).unwrap();
        let first = tls.current();
        let later = async || {
            tokio::time::advance(FRESH).await;
            tls.current()
        };
        assert!(Arc::ptr_eq(&first, &later().await), "nothing has changed");
        let (good_cert, good_key) = (std::fs::read(&cert).unwrap(), std::fs::read(&key).unwrap());
        let strange = KeyPair::generate().unwrap().serialize_pem().into_bytes();
        let half = good_cert[..good_cert.len() / 2].to_vec();
        for (path, bytes) in [
            (&key, strange),
            (&cert, half),
            (&cert, Vec::new()),
            (&key, b"-----BEGIN secret".to_vec()),
        ] {
            std::fs::write(path, &bytes).unwrap();
            for told in [1, 0, 0] {
                assert!(Arc::ptr_eq(&first, &later().await));
                assert_eq!(log.take(), (told, 0));
            }
            std::fs::write(&cert, &good_cert).unwrap();
            std::fs::write(&key, &good_key).unwrap();
            assert!(Arc::ptr_eq(&first, &later().await));
            assert_eq!(log.take(), (0, 1), "mended");
        }
        std::fs::remove_file(&cert).unwrap();
        assert!(Arc::ptr_eq(&first, &later().await));
        assert_eq!(log.take(), (1, 0));
        write(directory.path());
        assert!(Arc::ptr_eq(&first, &tls.current()), "not looked at again within the second");
        let second = later().await;
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &later().await));
        assert_eq!(log.take(), (0, 1));
        assert!(!format!("{tls:?}").contains("BEGIN"));
    }
}
