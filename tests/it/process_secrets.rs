//! What the process tells of itself: every line is JSON with fields, and no secret is in any of it,
//! also with everything logged and a receiver that sends back what it was shown.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use crate::process_kit::{Gateway, Mode, Receiver, config, run};
use crate::receive_door::{ARN, KEY, line};

const SECRETS: [&str; 6] = [
    KEY,
    "hunter2-the-password",
    "hunter3-the-bearer-token",
    "hunter4-the-aws-secret",
    "hunter5-the-header",
    "hunter6-the-wrong-key",
];

#[tokio::test]
async fn no_secret_leaves_the_process() {
    let receiver = Receiver::start(Mode::Echo(400)).await;
    let url = &receiver.url;
    let queue = "queue_config: { min_backoff: 20ms, max_backoff: 100ms }";
    let rest = format!(
        "  - {{ name: bearer, url: \"{url}\", authorization: {{ credentials: {} }}, {queue} }}\n  \
         - {{ name: aws, url: \"{url}\", sigv4: {{ region: eu-west-1, access_key: AKIDEXAMPLE, secret_key: {} }}, {queue} }}\n  \
         - {{ name: header, url: \"{url}\", headers: {{ X-Secret-Token: {} }}, {queue} }}\n",
        SECRETS[2], SECRETS[3], SECRETS[4],
    );
    let basic = format!("basic_auth: {{ username: me, password: {} }}", SECRETS[1]);
    let text = config(url, "request_deadline: 2s\nshutdown_delay: 0s", &basic, &rest);
    let gateway = Gateway::start_with(&text, &[("RUST_LOG", "trace")]).await;

    let mut told = Vec::new();
    let mut statuses = Vec::new();
    for (instance, mode) in
        [Mode::Echo(400), Mode::Echo(403), Mode::Echo(500)].into_iter().enumerate()
    {
        receiver.set(mode);
        let before = receiver.requests();
        let (status, answer) = gateway.post(&[line(instance).as_bytes()]).await;
        // Each of the four destinations.
        assert!(receiver.requests() >= before + 4, "{mode:?} was not asked for");
        statuses.push(status);
        told.push(answer);
    }
    assert_eq!(statuses, [200, 503, 503], "{told:?}");
    assert!(told[2].contains("x-") || told[2].contains("500"), "the trouble is told: {}", told[2]);
    let wrong = [("x-amz-firehose-access-key", SECRETS[5])];
    let (status, answer) = gateway.send(&[], &wrong).await.unwrap();
    assert_eq!(status, 401);
    told.push(answer);
    for path in ["/metrics", "/config", "/nothing"] {
        told.push(gateway.get_path(&gateway.telemetry, path).await.1);
    }
    assert!(told[4].contains("sluicegate_samples_total"));
    gateway.assert_no_repeats().await;
    assert!(told[5].contains("<secret>"));
    let checked = run(&["check"], &[("SLUICEGATE_CONFIG_CONTENT", &text)], b"");
    assert_eq!(checked.code, 0, "{checked:?}");
    told.push(checked.out);
    let log = gateway.log();
    assert!(log.contains("\"level\":\"TRACE\""), "everything is logged");
    told.push(log.clone());
    for text in &told {
        for secret in SECRETS {
            let pair = base64_simd::STANDARD.encode_to_string(format!("me:{secret}"));
            for secret in [secret, &pair] {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{secret}");
            }
        }
    }

    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["target"].is_string()));
    let stream = ARN.rsplit_once('/').unwrap().1;
    let failed = |line: &&serde_json::Value| line["message"] == "request failed";
    let failed = lines.iter().find(failed).expect("a failed request is logged");
    assert_eq!(failed["status"], 503, "{failed}");
    assert!(told[1].contains(failed["request_id"].as_str().unwrap()), "{failed}: {}", told[1]);
    assert!([ARN, stream].contains(&failed["stream"].as_str().unwrap()), "{failed}");
    for name in ["store", "bearer", "aws", "header"] {
        assert!(lines.iter().any(|line| line["destination"] == name), "{name}");
    }
}
