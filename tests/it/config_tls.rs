//! What `server.tls_config` may say, and what `check` says of its files.

use std::path::Path;

use sluicegate::cli::check::check;
use sluicegate::config::{Loaded, Source, load_within};
use sluicegate::receive::{ClientAuth, TlsVersion};

use crate::receive_tls::Authority;

fn text(tls: &str) -> String {
    format!(
        "server: {{ access_keys: [{{ key: k }}], tls_config: {tls} }}\n\
         remote_write: [{{ url: 'http://one.example/write' }}]\n"
    )
}

fn read(tls: &str) -> Result<Loaded, String> {
    let text = text(tls);
    let source = Source::File { path: Path::new("/etc/c.yaml"), text: &text };
    load_within(source, &|_| None, None).map_err(|faults| faults.to_string())
}

#[test]
fn every_fault_is_told_where_it_stands() {
    const PAIR: &str = "cert_file: c, key_file: k";
    for (tls, expected) in [
        ("", "server.tls_config: stands without a value"),
        ("{}", "server.tls_config: needs cert_file and key_file"),
        ("{ cert_file: c }", "server.tls_config.cert_file: needs key_file beside it"),
        ("{ key_file: k }", "server.tls_config.key_file: needs cert_file beside it"),
        ("{ cert_file: c, key_file: }", "server.tls_config.key_file: stands without a value"),
        ("{ PAIR, cert: x }", "server.tls_config.cert: is not supported"),
        (
            "{ PAIR, client_ca_file: a }",
            "client_ca_file: stands beside client_auth_type NoClientCert",
        ),
        (
            "{ PAIR, client_ca_file: a, client_auth_type: NoClientCert }",
            "client_ca_file: stands beside client_auth_type NoClientCert",
        ),
        (
            "{ PAIR, client_auth_type: RequireAndVerifyClientCert }",
            "client_auth_type: needs client_ca_file",
        ),
        (
            "{ PAIR, client_auth_type: VerifyClientCertIfGiven }",
            "client_auth_type: needs client_ca_file",
        ),
        (
            "{ PAIR, client_auth_type: RequireAnyClientCerts }",
            "did you mean `RequireAnyClientCert`?",
        ),
        ("{ PAIR, client_auth_type: }", "client_auth_type: stands without a value"),
        ("{ PAIR, min_version: TLS11 }", "did you mean `TLS12`?"),
        ("{ PAIR, max_version: TLS12 }", "max_version: `TLS12` is not understood"),
        ("{ PAIR, cipher_suites: [x] }", "cipher_suites: is not supported"),
        ("{ PAIR, client_allowed_sans: [x] }", "client_allowed_sans: is not supported"),
        ("{ PAIR, certfile: x }", "did you mean `cert_file`?"),
    ] {
        let faults = read(&tls.replace("PAIR", PAIR)).expect_err(tls);
        assert!(faults.contains(expected) && faults.lines().count() == 1, "{tls}: {faults}");
    }
}

#[test]
fn what_is_said_is_meant_and_reads_back() {
    for (tls, auth, version) in [
        ("{ cert_file: c, key_file: k }", ClientAuth::NoClientCert, TlsVersion::Tls12),
        (
            "{ cert_file: c, key_file: k, client_ca_file: a, min_version: TLS13, \
             client_auth_type: RequireAndVerifyClientCert, max_version: TLS13 }",
            ClientAuth::RequireAndVerifyClientCert,
            TlsVersion::Tls13,
        ),
        (
            "{ cert_file: c, key_file: k, client_auth_type: RequestClientCert }",
            ClientAuth::RequestClientCert,
            TlsVersion::Tls12,
        ),
    ] {
        let config = read(tls).expect(tls).config;
        let meant = config.server.tls_config.as_ref().expect("TLS");
        assert_eq!((meant.client_auth_type, meant.min_version), (auth, version), "{tls}");
        assert_eq!(meant.cert_file, Path::new("/etc/c"));
        let files: Vec<_> = config.files().collect();
        assert!(files.contains(&Path::new("/etc/c")) && files.contains(&Path::new("/etc/k")));
        assert_eq!(files.contains(&Path::new("/etc/a")), meant.client_ca_file.is_some());
        let shown = config.to_yaml().replace("<secret>", "k");
        let again = load_within(Source::Content(&shown), &|_| None, None).expect("what is shown");
        assert_eq!(again.config.to_yaml().replace("<secret>", "k"), shown);
    }
    let hints =
        "{ cert_file: c, key_file: k, client_ca_file: a, client_auth_type: RequestClientCert }";
    let notes = read(hints).expect(hints).notes;
    assert!(notes.len() == 1 && notes[0].contains("any certificate will do"), "{notes:?}");
}

#[test]
fn check_names_the_file_that_does_not_fit() {
    let authority = Authority::new();
    authority.write("a", "localhost");
    authority.write("b", "localhost");
    let directory = authority.path("").display().to_string();
    std::fs::write(authority.path("empty.pem"), "nothing\n").expect("a file");
    let cut = std::fs::read(authority.path("a.pem")).expect("a.pem");
    std::fs::write(authority.path("cut.pem"), &cut[..cut.len() / 2]).expect("a file");
    for (cert, key, ca, expected) in [
        ("a.pem", "a.key", "ca.pem", ""),
        ("gone.pem", "a.key", "ca.pem", "cert_file: cannot read DIR/gone.pem: No such file"),
        ("a.pem", "gone.key", "ca.pem", "key_file: cannot read DIR/gone.key"),
        ("a.pem", "b.key", "ca.pem", "a.pem and DIR/b.key: they do not belong together"),
        ("a.key", "a.key", "ca.pem", "cert_file: DIR/a.key: holds none (expected certificates"),
        ("a.pem", "a.pem", "ca.pem", "key_file: DIR/a.pem: holds none (expected a private key"),
        ("cut.pem", "a.key", "ca.pem", "cert_file: DIR/cut.pem: ends within a section"),
        ("a.pem", "a.key", "empty.pem", "client_ca_file: DIR/empty.pem: holds none"),
    ] {
        let tls = format!(
            "{{ cert_file: '{directory}/{cert}', key_file: '{directory}/{key}', client_ca_file: \
             '{directory}/{ca}', client_auth_type: RequireAndVerifyClientCert }}"
        );
        let text = text(&tls);
        let env = |name: &str| (name == "SLUICEGATE_CONFIG_CONTENT").then(|| text.clone());
        let mut out = Vec::new();
        check(None, &env, &mut out).expect("written");
        let out = String::from_utf8(out).expect("text");
        if expected.is_empty() {
            assert!(!out.contains("error:") && !out.contains("warning: /"), "{out}");
            continue;
        }
        let expected = expected.replace("DIR", directory.trim_end_matches('/'));
        let out = out.replace("//", "/");
        assert!(out.starts_with("error: ") && out.lines().count() == 1, "{out}");
        assert!(
            out.contains("server.tls_config: ") && out.contains(&expected),
            "{cert} {key}: {out}"
        );
        assert!(!out.contains("BEGIN"), "{out}");
    }
}
