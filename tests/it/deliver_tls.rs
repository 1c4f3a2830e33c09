//! TLS to a server with its own authority, which may ask for a client certificate.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sluicegate::deliver::config::{Auth, Tls};
use sluicegate::deliver::{Remote, Verdict};
use sluicegate::meters::Meters;
use sluicegate::tasks::Tasks;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::amp_front::{AmpFront, Guard};
use crate::deliver_remote::{body, destination, remote};

pub(crate) struct Authority {
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.path().join(name))
    }

    pub(crate) fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn client_files(&self) {
        let (certificate, key) = self.issue("client");
        std::fs::write(self.file("client.pem").unwrap(), certificate.pem()).unwrap();
        std::fs::write(self.file("client.key").unwrap(), key.serialize_pem()).unwrap();
    }

    /// A front behind TLS; its URL.
    async fn serve(&self, ask_clients: bool, h2: bool) -> (AmpFront, String) {
        let (certificate, key) = self.issue("127.0.0.1");
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let config = ServerConfig::builder();
        let config = if ask_clients {
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        if h2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = AmpFront::unbound(Guard::Open, listener.local_addr().unwrap());
        let accepting = front.clone();
        Tasks::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    accepting.serve(stream);
                }
            }
        });
        let url = format!("https://{}/write", front.address);
        (front, url)
    }
}

async fn send(url: &str, tls: Tls) -> Verdict {
    let mut destination = destination(url, Auth::None);
    destination.tls_config = tls;
    remote(&destination, &Meters::new()).send(body(), Duration::from_secs(10)).await
}

fn trouble(verdict: Verdict) -> String {
    match verdict {
        Verdict::TryAgain { trouble, .. } => trouble,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn trusts_the_authority_it_is_given_and_no_other() {
    let (ours, other) = (Authority::new(), Authority::new());
    for h2 in [false, true] {
        let (front, url) = ours.serve(false, h2).await;
        let trusting =
            |authority: &Authority| Tls { ca_file: authority.file("ca.pem"), ..Tls::default() };
        assert_eq!(send(&url, trusting(&ours)).await, Verdict::Accepted, "h2: {h2}");
        let refused = trouble(send(&url, trusting(&other)).await);
        assert!(refused.contains("certificate"), "{refused}");
        let careless = Tls { insecure_skip_verify: true, ..trusting(&other) };
        assert_eq!(send(&url, careless).await, Verdict::Accepted);
        assert_eq!(front.received().len(), 2);
    }
}

#[tokio::test]
async fn shows_its_own_certificate() {
    let authority = Authority::new();
    authority.client_files();
    let (front, url) = authority.serve(true, false).await;
    let anonymous = Tls { ca_file: authority.file("ca.pem"), ..Tls::default() };
    let known = Tls {
        cert_file: authority.file("client.pem"),
        key_file: authority.file("client.key"),
        ..anonymous.clone()
    };
    assert_eq!(send(&url, known).await, Verdict::Accepted);
    let _ = trouble(send(&url, anonymous).await);
    assert_eq!(front.received().len(), 1);
}

#[test]
fn files_without_certificates_are_faults() {
    let authority = Authority::new();
    std::fs::write(authority.file("empty.pem").unwrap(), "nothing here\n").unwrap();
    let mut destination = destination("https://127.0.0.1:1/", Auth::None);
    for (ca, cert) in [("empty.pem", None), ("ca.pem", Some("empty.pem"))] {
        destination.tls_config = Tls {
            ca_file: authority.file(ca),
            cert_file: cert.and_then(|name| authority.file(name)),
            key_file: cert.and_then(|name| authority.file(name)),
            insecure_skip_verify: false,
        };
        let fault = Remote::new(&destination, &Meters::new(), "sluicegate/0.1.0").unwrap_err();
        assert!(fault.to_string().contains("empty.pem"), "{fault}");
    }
}
