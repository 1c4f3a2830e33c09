//! `check`, `explain`, `healthcheck` and `demo` as processes: what they print, and how they end.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::process_kit::{Gateway, Mode, Receiver, Said, config, run};
use crate::receive_door::{ID, KEY, envelope, gzip, line};

/// A folder with files of these contents, and their paths.
fn files<const N: usize>(contents: [&[u8]; N]) -> (TempDir, [String; N]) {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    let paths = contents.map(|content| {
        number += 1;
        let path = folder.path().join(format!("file-{number}"));
        std::fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    });
    (folder, paths)
}

/// The two records of the formats' reference: OpenTelemetry 0.7 and 1.0.
fn vectors() -> [Vec<u8>; 2] {
    let mut lines = include_str!("../fixtures/decode/vectors.txt").lines();
    [(); 2].map(|()| base64_simd::STANDARD.decode_to_vec(lines.next().unwrap()).unwrap())
}

#[test]
fn check_prints_what_loads_again_and_hides_what_is_secret() {
    let text = config(
        "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write",
        "request_deadline: 20s",
        "sigv4: { access_key: AKID, secret_key: s3cr3t-of-aws }",
        "  - name: other\n    url: http://127.0.0.1:9/\n    \
         basic_auth: { username: me, password: s3cr3t-of-mine }\n    required: false\n",
    );
    let (_folder, [path]) = files([text.as_bytes()]);
    let said = run(&["check", "--config", &path], &[], b"");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert!(said.out.starts_with(&format!("# effective configuration, from {path}\n")));
    assert!(said.out.contains("request_deadline: 20s"));
    for secret in [KEY, "s3cr3t"] {
        assert!(!said.out.contains(secret), "{}", said.out);
    }
    // With the secrets in their places it is the same configuration.
    let again = said.out.replacen("<secret>", "one", 1).replacen("<secret>", "two", 1);
    let again = again.replacen("<secret>", "three", 1);
    let second = run(&["check"], &[("SLUICEGATE_CONFIG_CONTENT", &again)], b"");
    let settings = |said: &Said| {
        let lines = said.out.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(second.code, 0, "{second:?}");
    assert!(settings(&said).len() > 50);
    assert_eq!(settings(&second), settings(&said));
}

/// Lines of exposition text as series, value and milliseconds.
fn samples(text: &str) -> Vec<(&str, f64, i64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.rsplitn(3, ' ');
            let at_ms = parts.next().unwrap().parse().unwrap();
            let value = parts.next().unwrap().parse().unwrap();
            let series = parts.next().unwrap();
            let name = series.split('{').next().unwrap();
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                "{line}"
            );
            assert!(!series.contains('{') || series.ends_with("\"}"), "{line}");
            (series, value, at_ms)
        })
        .collect()
}

/// The five series of the reference's record, and their values.
fn expected() -> Vec<(String, f64, i64)> {
    let series = |statistic| {
        format!(
            "aws_sqs_number_of_messages_sent_{statistic}{{account_id=\"111122223333\",\
             dimension_QueueName=\"orders\",job=\"cloudwatch\",name=\"global\",\
             namespace=\"AWS/SQS\",region=\"eu-west-1\"}}"
        )
    };
    [("average", 2.0), ("maximum", 3.0), ("minimum", 1.0), ("sample_count", 3.0), ("sum", 6.0)]
        .map(|(statistic, value)| (series(statistic), value, 1_760_000_040_000))
        .into()
}

fn borrowed(samples: &[(String, f64, i64)]) -> Vec<(&str, f64, i64)> {
    samples.iter().map(|(series, value, at_ms)| (series.as_str(), *value, *at_ms)).collect()
}

#[test]
fn explain_takes_bodies_and_records_however_they_come() {
    let [old, new] = vectors();
    let json = "{\"metric_stream_name\":\"demo\",\"account_id\":\"111122223333\",\
                \"region\":\"eu-west-1\",\"namespace\":\"AWS/SQS\",\
                \"metric_name\":\"NumberOfMessagesSent\",\"dimensions\":{\"QueueName\":\"orders\"},\
                \"timestamp\":1760000040000,\"value\":{\"max\":3.0,\"min\":1.0,\"sum\":6.0,\
                \"count\":3.0},\"unit\":\"Count\"}\n";
    let body = envelope(ID, &[&old]);
    let expected = expected();
    for (input, format) in [
        (old, "1 opentelemetry0.7"),
        (new, "1 opentelemetry1.0"),
        (json.as_bytes().to_vec(), "1 json"),
        (gzip(&body), "1 opentelemetry0.7"),
        (body, "1 opentelemetry0.7"),
    ] {
        let (_folder, [path]) = files([&input]);
        let said = run(&["explain", &path], &[], b"");
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        assert_eq!(samples(&said.out), borrowed(&expected), "{format}");
        assert!(said.out.contains(&format!("# data points: {format}\n")), "{}", said.out);
        let piped = run(&["explain", "-"], &[], &input);
        assert_eq!((piped.code, piped.out), (0, said.out), "from standard input");
    }
}

#[test]
fn explain_tells_what_was_skipped_and_why() {
    let [old, new] = vectors();
    let records: [&[u8]; 5] = [b"garbage", &old, b"", b"{\"level\":\"info\"}\n", &new[..200]];
    let body = envelope(ID, &records);
    let said = run(&["explain", "-"], &[], &body);
    assert_eq!(said.code, 0, "something was decoded: {said:?}");
    assert_eq!(samples(&said.out), borrowed(&expected()));
    let skipped: Vec<_> = said.out.lines().filter_map(|l| l.strip_prefix("# skipped ")).collect();
    assert_eq!(skipped.len(), 3, "{}", said.out);
    let expected = [
        "in record 0: unknown_format: garbage",
        "in record 3: foreign_json: {\\\"level\\\":\\\"info\\\"}",
        "in record 4: ",
    ];
    for (line, expected) in skipped.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    // The same point twice: the later wins, and that is said.
    let twice = run(&["explain", "-"], &[], &[old.clone(), old].concat());
    assert!(twice.out.contains("# replaced by a later sample of the same series and time: 5\n"));

    for (input, code, told) in [
        (&b"garbage"[..], 1, "# skipped in record 0: unknown_format: garbage"),
        (b"", 0, "# data points: none"),
        (b"{\"requestId\":\"a\",\"records\":[{\"data\"", 1, "# not a Firehose body ("),
        (&gzip(&body)[..100], 1, "error: unpack gzip: "),
    ] {
        let said = run(&["explain", "-"], &[], input);
        assert_eq!(said.code, code, "{said:?}");
        assert!(format!("{}{}", said.out, said.err).contains(told), "{said:?}");
    }
    for path in ["/nowhere/at/all", "/"] {
        let said = run(&["explain", path], &[], b"");
        assert_eq!(said.code, 1);
        assert!(said.err.starts_with("error: ") && said.err.contains(path), "{said:?}");
    }
}

#[test]
fn explain_shows_what_each_destination_gets() {
    let rest = "  - name: sums\n    url: http://127.0.0.1:9/\n    write_relabel_configs:\n      \
                - { source_labels: [__name__], regex: .*_sum, action: keep }\n      \
                - { regex: dimension_(.*), replacement: \"${1}\", action: labelmap }\n      \
                - { regex: dimension_.*, action: labeldrop }\n\
                relabel_configs:\n  - { source_labels: [dimension_InstanceId], regex: i-2, action: drop }\n\
                global: { external_labels: { cluster: prod } }\n";
    let text = config("http://127.0.0.1:9/", "", "", rest);
    let (_folder, [path]) = files([text.as_bytes()]);
    let input = format!("{}{}{}", line(1), line(2), line(3));
    let said = run(&["explain", "--config", &path, "-"], &[], input.as_bytes());
    assert_eq!(said.code, 0, "{said:?}");
    let (all, sums) = said.out.split_once("# destination `sums`\n").unwrap();
    assert!(all.contains("# data points: 3 json\n# destination `store`\n"), "{all}");
    assert_eq!(samples(all).len(), 10, "{all}");
    assert!(!said.out.contains("i-2"));
    let series = |instance: &str| {
        format!(
            "aws_ec2_network_in_sum{{InstanceId=\"{instance}\",account_id=\"111122223333\",\
             cluster=\"prod\",job=\"cloudwatch\",name=\"global\",namespace=\"AWS/EC2\",\
             region=\"eu-west-1\"}}"
        )
    };
    let expected = ["i-1", "i-3"].map(|instance| (series(instance), 3.0, 1_760_000_040_000));
    assert_eq!(samples(sums), borrowed(&expected));
    // The order does not depend on the order of arrival.
    let turned = format!("{}{}{}", line(3), line(2), line(1));
    let other = run(&["explain", "--config", &path, "-"], &[], turned.as_bytes());
    assert_eq!(other.out, said.out);

    let said = run(&["explain", "--config", "/nowhere/at/all", "-"], &[], input.as_bytes());
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.starts_with("error: /nowhere/at/all: cannot be read"), "{said:?}");
}

#[tokio::test]
async fn healthcheck_tells_by_its_exit_status() {
    let receiver = Receiver::start(Mode::Store).await;
    let text = config(&receiver.url, "shutdown_delay: 60s\ndrain_deadline: 90s", "", "");
    let gateway = Gateway::start(&text).await;
    let port = gateway.telemetry.rsplit_once(':').unwrap().1;
    // Where to listen is where to ask: on all addresses means on this machine.
    let ask = |address: &str, more: &[&str]| {
        let text = text.replace(
            "telemetry: { listen_address: 127.0.0.1:0",
            &format!("telemetry: {{ listen_address: \"{address}\""),
        );
        let env = [("SLUICEGATE_CONFIG_CONTENT", text.as_str())];
        run(&[&["healthcheck"], more].concat(), &env, b"")
    };
    let local = format!("127.0.0.1:{port}");
    for (address, more) in
        [(&local, &[][..]), (&local, &["--ready"]), (&format!("0.0.0.0:{port}"), &[])]
    {
        let said = ask(address, more);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    }
    gateway.signal("TERM").await;
    assert_eq!(ask(&local, &[]).code, 0, "it lives on while it drains");
    let said = ask(&local, &["--ready"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("/readyz answered `HTTP/1.1 503"), "{said:?}");
    drop(gateway);

    let free =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let said = ask(&free, &[]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.starts_with(&format!("error: connect to {free}: Connection refused")),
        "{said:?}"
    );
    let said = run(&["healthcheck"], &[("SLUICEGATE_CONFIG_CONTENT", "server: 1")], b"");
    assert_eq!(said.code, 1, "for Docker any other status than 0 and 1 is reserved");
    assert!(said.err.lines().all(|line| line.starts_with("error: ")), "{said:?}");
}

#[test]
fn the_demo_ends_with_the_books_in_plain_lines() {
    let mut cases = vec![vec!["--format", "json"], vec!["--fault", "throttle"]];
    cases.push(vec!["--format", "opentelemetry1.0", "--fault", "outage"]);
    for case in cases {
        let arguments = [&["demo", "--duration", "3s", "--metrics", "200"], &case[..]].concat();
        let said = run(&arguments, &[], b"");
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{case:?} {said:?}");
        assert!(!said.out.contains(['\r', '\u{1b}']), "nothing is written over: {}", said.out);
        let books: BTreeMap<_, _> = said
            .out
            .lines()
            .filter_map(|line| {
                let (what, figure) = line.strip_prefix("  ")?.split_at_checked(22)?;
                let figure = figure.split_whitespace().next()?.replace(',', "");
                Some((what.trim().to_owned(), figure.parse::<f64>().ok()?))
            })
            .collect();
        for (what, figure) in
            [("data points sent", 1400.0), ("acknowledged", 1400.0), ("missing", 0.0)]
        {
            assert_eq!(books.get(what), Some(&figure), "{what}: {}", said.out);
        }
    }
    for arguments in [["--metrics", "0"], ["--duration", "0"], ["--format", "xml"]] {
        let said = run(&[&["demo"], &arguments[..]].concat(), &[], b"");
        assert_eq!(said.code, 2, "{said:?}");
    }
}
