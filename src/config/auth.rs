//! Reads how a destination is told who sends: `sigv4`, `basic_auth`, `authorization`, or the older
//! `bearer_token`.

use reqwest::Url;

use super::reader::Section;
use crate::deliver::config::{Auth, SecretSource, Sigv4};

const KINDS: [&str; 5] =
    ["sigv4", "basic_auth", "authorization", "bearer_token", "bearer_token_file"];

/// Reads whichever is there; an AMP URL (of region `amp`) implies `sigv4`.
pub(super) fn read(section: &Section<'_>, amp: Option<&str>, url: Option<&Url>) -> Option<Auth> {
    let said: Vec<&str> = KINDS.into_iter().filter(|kind| section.holds(kind)).collect();
    if let [_, second, ..] = said.as_slice() {
        let list = said.join(", ");
        section.fault(second, format!("one way of authentication at most (found {list})"));
    }
    // An empty `sigv4:` means all its defaults; the other two have none.
    let sigv4 = section.optional("sigv4", |sigv4| read_sigv4(sigv4, amp, url)).flatten();
    let basic_auth = section.block("basic_auth", read_basic_auth).flatten();
    let authorization = section.block("authorization", read_authorization).flatten();
    let token = section.secret("bearer_token").map(SecretSource::Inline);
    let token = token.or(section.file("bearer_token_file").map(SecretSource::File));
    let bearer =
        token.map(|credentials| Auth::Authorization { scheme: "Bearer".to_owned(), credentials });
    let chosen = sigv4.or(basic_auth).or(authorization).or(bearer);
    if let Some(kind) = said.first().filter(|_| chosen.is_none() && section.reader.is_faultless()) {
        section.fault(kind, "cannot be used");
    }
    match amp {
        Some(region) if said.is_empty() => Some(Auth::Sigv4(Sigv4 {
            region: region.to_owned(),
            service: "aps".to_owned(),
            access_key: None,
            secret_key: None,
            profile: None,
            role_arn: None,
            external_id: None,
            sts_endpoint: None,
        })),
        Some(_) => {
            if let Some(kind) = said.first().filter(|kind| **kind != "sigv4") {
                section.note(kind, "Amazon Managed Service for Prometheus takes sigv4 only");
            }
            chosen
        }
        None => chosen,
    }
}

fn read_sigv4(sigv4: &Section<'_>, amp: Option<&str>, url: Option<&Url>) -> Option<Auth> {
    let said = sigv4.filled("region");
    if let (Some(said), Some(of_url)) = (&said, amp)
        && said != of_url
    {
        let message =
            format!("is not the region of the URL, {of_url}: every request would be refused");
        sigv4.fault("region", message);
    }
    let environment = |name| (sigv4.reader.env)(name).filter(|value| !value.trim().is_empty());
    let region = said
        .or_else(|| amp.map(str::to_owned))
        .or_else(|| environment("AWS_REGION"))
        .or_else(|| environment("AWS_DEFAULT_REGION"));
    // Without a URL there is a greater fault to report.
    if region.is_none() && url.is_some() && !sigv4.holds("region") {
        let message = "needs a region: the URL is none of AMP's, and AWS_REGION is not set";
        sigv4.reader.fault(&sigv4.path, message);
    }
    let config = Sigv4 {
        region: region.unwrap_or_default(),
        service: sigv4.filled("service").unwrap_or_else(|| "aps".to_owned()),
        access_key: sigv4.filled("access_key"),
        secret_key: sigv4.secret("secret_key"),
        profile: sigv4.filled("profile"),
        role_arn: sigv4.filled("role_arn"),
        external_id: sigv4.filled("external_id"),
        sts_endpoint: sts_endpoint(sigv4),
    };
    for (one, other) in
        [("access_key", "secret_key"), ("secret_key", "access_key"), ("external_id", "role_arn")]
    {
        if sigv4.says(one) && !sigv4.holds(other) {
            sigv4.fault(one, format!("needs {other} beside it"));
        }
    }
    if config.role_arn.as_deref().is_some_and(|arn| !arn.starts_with("arn:")) {
        sigv4.fault("role_arn", "is no ARN (expected arn:aws:iam::<account>:role/<name>)");
    }
    let expected = "false: `true` is not supported; sts_endpoint can name a FIPS endpoint";
    sigv4.unlisted("use_fips_sts_endpoint", expected, |text| text == "false");
    (!config.region.is_empty()).then_some(Auth::Sigv4(config))
}

fn sts_endpoint(sigv4: &Section<'_>) -> Option<String> {
    sigv4.parsed("sts_endpoint", "the URL of an STS endpoint", |text| {
        let url = Url::parse(&text.text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let plain = plain && url.query().is_none() && url.fragment().is_none();
        let legal = ["http", "https"].contains(&url.scheme()) && plain;
        legal.then(|| text.text.clone())
    })
}

fn read_basic_auth(basic: &Section<'_>) -> Option<Auth> {
    basic.unsupported(&["username_file", "username_ref", "password_ref"], "expected username");
    if !basic.holds("username") {
        basic.reader.fault(&basic.path, "needs a username");
    }
    let username = basic.filled("username");
    let password = secret_source(basic, "password", "password_file");
    Some(Auth::BasicAuth { username: username?, password: password? })
}

fn read_authorization(authorization: &Section<'_>) -> Option<Auth> {
    authorization.unsupported(&["credentials_ref"], "expected credentials or credentials_file");
    let scheme = authorization.filled("type").unwrap_or_else(|| "Bearer".to_owned());
    let scheme = scheme.trim().to_owned();
    if scheme.eq_ignore_ascii_case("basic") {
        authorization.fault("type", "is `Basic` (expected basic_auth instead)");
    } else if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte)) {
        authorization.fault("type", "is no authentication scheme (expected a word, e.g. Bearer)");
    }
    let credentials = secret_source(authorization, "credentials", "credentials_file");
    Some(Auth::Authorization { scheme, credentials: credentials? })
}

/// A secret that stands in the file or in a file of its own.
fn secret_source(
    section: &Section<'_>,
    inline: &'static str,
    file: &'static str,
) -> Option<SecretSource> {
    match (section.holds(inline), section.holds(file)) {
        (true, true) => {
            section.fault(file, format!("stands beside {inline} (expected one of them)"));
        }
        (false, false) => {
            section.reader.fault(&section.path, format!("needs {inline} or {file}"));
        }
        _ => {}
    }
    let secret = section.secret(inline);
    if secret.as_ref().is_some_and(|secret| secret.expose().chars().any(char::is_control)) {
        section.fault(inline, "holds characters that no HTTP header can carry");
    }
    secret.map(SecretSource::Inline).or(section.file(file).map(SecretSource::File))
}
