//! Reads `server.tls_config`: the keys of Prometheus's web configuration.

use super::reader::Section;
use crate::receive::{ClientAuth, TlsConfig, TlsVersion};

/// `None` if what makes it TLS at all is missing, which is a fault.
pub(super) fn read(tls: &Section<'_>) -> Option<TlsConfig> {
    let (cert_file, key_file) = (tls.file("cert_file"), tls.file("key_file"));
    match (tls.holds("cert_file"), tls.holds("key_file")) {
        (true, false) => tls.fault("cert_file", "needs key_file beside it"),
        (false, true) => tls.fault("key_file", "needs cert_file beside it"),
        (false, false) => tls.reader.fault(&tls.path, "needs cert_file and key_file"),
        (true, true) => {}
    }
    let client_ca_file = tls.file("client_ca_file");
    let client_auth_type = client_auth(tls);
    let min_version = tls
        .choice("min_version", &[("TLS12", TlsVersion::Tls12), ("TLS13", TlsVersion::Tls13)])
        .unwrap_or_default();
    if tls.unlisted("max_version", "TLS13: TLS 1.2 and 1.3 are spoken", |text| text == "TLS13") {
        tls.note("max_version", "has no effect: TLS 1.3 is the most");
    }
    tls.without_effect(
        &["prefer_server_cipher_suites"],
        "every cipher suite that is spoken is a good one",
    );
    tls.unsupported(&["cipher_suites", "curve_preferences"], "only good ones are spoken");
    tls.unsupported(
        &["cert", "key", "client_ca"],
        "expected cert_file, key_file and client_ca_file",
    );
    tls.unsupported(
        &["client_allowed_sans"],
        "whoever holds a certificate of an authority in client_ca_file is let in, with an access key",
    );
    Some(TlsConfig {
        cert_file: cert_file?,
        key_file: key_file?,
        client_ca_file,
        client_auth_type: client_auth_type?,
        min_version,
    })
}

/// What is asked of clients, held against the authorities. `None` after a fault.
fn client_auth(tls: &Section<'_>) -> Option<ClientAuth> {
    let key = "client_auth_type";
    let said = tls.choice(
        key,
        &[
            ("NoClientCert", ClientAuth::NoClientCert),
            ("RequestClientCert", ClientAuth::RequestClientCert),
            ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
            ("VerifyClientCertIfGiven", ClientAuth::VerifyClientCertIfGiven),
            ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerifyClientCert),
        ],
    );
    // A key without a value would let everyone in.
    tls.needs_value(key);
    let auth = match said {
        Some(said) => said,
        None if tls.holds(key) => return None,
        None => ClientAuth::default(),
    };
    match (tls.holds("client_ca_file"), auth) {
        (true, ClientAuth::NoClientCert) => tls.fault(
            "client_ca_file",
            "stands beside client_auth_type NoClientCert, which asks for no certificates (expected \
             VerifyClientCertIfGiven or RequireAndVerifyClientCert)",
        ),
        (true, auth) if !auth.verifies() => {
            tls.note("client_ca_file", "is only named to clients: any certificate will do");
        }
        (false, auth) if auth.verifies() => tls.fault(key, "needs client_ca_file beside it"),
        _ => {}
    }
    Some(auth)
}
