//! `serve` as a process: SIGHUP and `/-/reload`.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::process_kit::{Gateway, Mode, Receiver, config};
use crate::receive_door::{KEY, line};

const RELOADED: &str = "\"configuration reloaded\"";

async fn post_with(gateway: &Gateway, key: &str) -> u16 {
    let shown = [("x-amz-firehose-access-key", key)];
    gateway.send(&[line(1).as_bytes()], &shown).await.unwrap().0
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let (_, text) = gateway.get_path(&gateway.telemetry, "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

async fn last_reload(gateway: &Gateway) -> (f64, f64) {
    (
        metric(gateway, "sluicegate_config_last_reload_successful").await,
        metric(gateway, "sluicegate_config_last_reload_success_timestamp_seconds").await,
    )
}

#[tokio::test]
async fn sighup_brings_a_good_file_into_force_and_no_other() {
    let receiver = Receiver::start(Mode::Store).await;
    let text = config(&receiver.url, "shutdown_delay: 0s", "", "");
    let mut gateway = Gateway::start(&text).await;
    let (good, first) = last_reload(&gateway).await;
    assert!(good == 1.0 && first > 1.7e9);

    gateway.rewrite(&text.replace(KEY, "another key"));
    gateway.raise("HUP").await;
    gateway.until(|log| log.contains(RELOADED)).await;
    assert_eq!(
        [post_with(&gateway, KEY).await, post_with(&gateway, "another key").await],
        [401, 200]
    );
    let (good, second) = last_reload(&gateway).await;
    assert!(good == 1.0 && second > first);

    // Three faults, each with its line; the configuration in force stays.
    gateway.rewrite(
        &text.replace(KEY, "third").replace("url:", "ulr:").replace("name: store", "nam: store"),
    );
    gateway.raise("HUP").await;
    gateway.until(|log| log.matches("stays in force").count() >= 2).await;
    let log = gateway.log();
    for told in ["ulr", "nam", "sluicegate.yml:"] {
        let is_told = |line: &str| line.contains("stays in force") && line.contains(told);
        assert!(log.lines().any(is_told), "{told}: {log}");
    }
    assert!(!log.contains("third"), "a key in the log");
    assert_eq!(post_with(&gateway, "another key").await, 200);
    assert_eq!(last_reload(&gateway).await, (0.0, second));

    // A file that is gone is a fault, too; and one that is mended is taken.
    gateway.rewrite(&format!("{text}log: {{ level: debug }}\n"));
    gateway.raise("HUP").await;
    gateway.until(|log| log.matches(RELOADED).count() == 2).await;
    assert_eq!(
        [post_with(&gateway, KEY).await, post_with(&gateway, "another key").await],
        [200, 401]
    );
    gateway.until(|log| log.contains("\"level\":\"DEBUG\"")).await;
    let (good, third) = last_reload(&gateway).await;
    assert!(good == 1.0 && third > second);
    gateway.signal("TERM").await;
    assert_eq!(gateway.ended().await, 0);
}

#[tokio::test]
async fn a_reload_can_be_asked_for_by_http_where_that_is_allowed() {
    let receiver = Receiver::start(Mode::Store).await;
    let text = config(&receiver.url, "shutdown_delay: 0s", "", "");
    let url = |gateway: &Gateway| format!("{}/-/reload", gateway.telemetry);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let closed = Gateway::start(&text).await;
    let answer = http.post(url(&closed)).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("telemetry.enable_lifecycle"));

    let text = text.replace("telemetry: {", "telemetry: { enable_lifecycle: true,");
    let gateway = Gateway::start(&text).await;
    assert_eq!(gateway.get(&url(&gateway)).await.0, 405);
    let ingest = format!("{}/-/reload", gateway.ingest);
    assert_eq!(
        http.post(ingest).send().await.unwrap().status(),
        404,
        "never on the ingest listener"
    );
    gateway.rewrite(&text.replace(KEY, "another key"));
    assert_eq!(http.post(url(&gateway)).send().await.unwrap().status(), 200);
    assert_eq!(post_with(&gateway, "another key").await, 200);
    let (key, address) = ("shutdown_delay", "127.0.0.1:0");
    assert!(text.contains(key) && text.contains(address), "{text}");
    gateway.rewrite(&text.replace(key, "shutdwon_delay").replace(address, "127.0.0.1:1x"));
    let answer = http.put(url(&gateway)).send().await.unwrap();
    assert_eq!(answer.status(), 500);
    let told = answer.text().await.unwrap();
    for fault in ["shutdwon_delay", "listen_address", "sluicegate.yml:"] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert_eq!(post_with(&gateway, "another key").await, 200);
    assert_eq!(last_reload(&gateway).await.0, 0.0);
}
