//! `serve` as a process: how it starts, how it stops, and what keeps it from either.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::time::Duration;

use tokio::time::Instant;

use crate::process_kit::{Gateway, Mode, Receiver, config, run};
use crate::receive_door::{KEY, line};

fn is_shutting_down(answer: &(u16, String)) -> bool {
    answer.0 == 503 && answer.1.contains("shutting down")
}

/// What readiness says once neither listener says yes: a moment after the signal was told of.
async fn unready(gateway: &Gateway) -> [u16; 2] {
    loop {
        let ready = gateway.ready().await;
        if !ready.contains(&200) {
            return ready;
        }
    }
}

#[tokio::test]
async fn it_serves_until_a_signal_and_a_little_longer() {
    for signal in ["TERM", "INT"] {
        let receiver = Receiver::start(Mode::Store).await;
        let text = config(&receiver.url, "shutdown_delay: 2s\ndrain_deadline: 20s", "", "");
        let mut gateway = Gateway::start(&text).await;
        for base in [&gateway.ingest, &gateway.telemetry] {
            assert_eq!(gateway.get_path(base, "/healthz").await.0, 200);
            assert_eq!(gateway.get_path(base, "/readyz").await.0, 200);
        }
        let (status, answer) = gateway.post(&[line(1).as_bytes()]).await;
        assert_eq!(status, 200, "{answer}");
        let stored = receiver.requests();
        assert!(stored > 0, "a 200 waits for the destination");

        let before = Instant::now();
        gateway.signal(signal).await;
        assert_eq!(unready(&gateway).await, [503, 503]);
        assert_eq!(gateway.get_path(&gateway.telemetry, "/healthz").await.0, 200);
        assert_eq!(
            gateway.post(&[line(2).as_bytes()]).await.0,
            200,
            "it serves on during the delay"
        );
        assert!(receiver.requests() > stored);
        assert_eq!(gateway.ended().await, 0, "{}", gateway.log());
        let took = before.elapsed();
        let expected = Duration::from_millis(1990)..Duration::from_secs(10);
        assert!(expected.contains(&took), "{signal} took {took:?}");
        assert_eq!(gateway.get_path(&gateway.ingest, "/healthz").await.0, 0, "nobody is there");
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let receiver = Receiver::start(Mode::Hang).await;
    let text = config(&receiver.url, "shutdown_delay: 60s\ndrain_deadline: 90s", "", "");
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM")] {
        let mut gateway = Gateway::start(&text).await;
        let waiting = gateway.send(&[line(1).as_bytes()], &[]);
        receiver.reached().await;
        gateway.signal(first).await;
        assert_eq!(unready(&gateway).await, [503, 503]);
        let before = Instant::now();
        gateway.signal(second).await;
        assert_eq!(gateway.ended().await, 1, "{}", gateway.log());
        assert!(before.elapsed() < Duration::from_secs(5));
        assert_eq!(waiting.await.unwrap().0, 0, "Firehose sees a broken connection");
    }
}

#[tokio::test]
async fn what_is_in_flight_settles_first() {
    let receiver = Receiver::start(Mode::Hang).await;
    let text = config(&receiver.url, "shutdown_delay: 50ms\ndrain_deadline: 25s", "", "");
    let mut gateway = Gateway::start(&text).await;
    let waiting = gateway.send(&[line(1).as_bytes()], &[]);
    receiver.reached().await;
    gateway.signal("TERM").await;
    // The port closes while the request is still waiting.
    while gateway.get_path(&gateway.ingest, "/healthz").await.0 != 0 {}
    assert!(!waiting.is_finished());
    assert_eq!(gateway.ready().await[1], 503, "telemetry stays to the end");
    receiver.set(Mode::Store);
    let (status, answer) = waiting.await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let before = Instant::now();
    assert_eq!(gateway.ended().await, 0, "{}", gateway.log());
    assert!(before.elapsed() < Duration::from_secs(8), "nothing was left to wait for");
}

#[tokio::test]
async fn at_the_drain_deadline_what_waits_is_given_up() {
    let receiver = Receiver::start(Mode::Hang).await;
    let text = config(&receiver.url, "shutdown_delay: 50ms\ndrain_deadline: 1s", "", "");
    let mut gateway = Gateway::start(&text).await;
    let waiting = gateway.send(&[line(1).as_bytes()], &[]);
    receiver.reached().await;
    let before = Instant::now();
    gateway.signal("TERM").await;
    let answer = waiting.await.unwrap();
    assert!(is_shutting_down(&answer), "{answer:?}");
    assert_eq!(gateway.ended().await, 0, "{}", gateway.log());
    let took = before.elapsed();
    assert!((Duration::from_millis(990)..Duration::from_secs(8)).contains(&took), "{took:?}");
    assert!(gateway.log().contains("drain deadline reached"), "{}", gateway.log());
}

#[tokio::test]
async fn the_environment_says_where_the_configuration_is() {
    let receiver = Receiver::start(Mode::Store).await;
    let text = config(&receiver.url, "", "", "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("elsewhere.yml");
    std::fs::write(&path, &text).unwrap();
    let variables =
        [("SLUICEGATE_CONFIG", path.to_str().unwrap()), ("SLUICEGATE_CONFIG_CONTENT", &text)];
    for variable in variables {
        let gateway = Gateway::launch(&["serve"], &[variable]).await.unwrap();
        assert_eq!(gateway.post(&[line(1).as_bytes()]).await.0, 200);
    }
    // An address and a key alone mean the standard ports, which may be taken on this machine.
    let env =
        [("SLUICEGATE_REMOTE_WRITE_URL", receiver.url.as_str()), ("SLUICEGATE_ACCESS_KEY", KEY)];
    match Gateway::launch(&["serve"], &env).await {
        Ok(gateway) => {
            let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
            assert_eq!([port(&gateway.ingest), port(&gateway.telemetry)], ["8080", "8081"]);
        }
        Err(said) => {
            assert_eq!(said.code, 1, "{said:?}");
            assert!(said.err.contains("Address already in use"), "{said:?}");
        }
    }
}

#[test]
fn a_broken_configuration_is_told_fault_by_fault() {
    let text = "server:\n  listen_addres: 127.0.0.1:0\n  request_deadline: 150\n\
                remote_write:\n  - url: ftp://there\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    for command in ["serve", "check"] {
        let said = run(&[command, "--config", path], &[], b"");
        assert_eq!(said.code, 78, "{said:?}");
        let (told, other) =
            if command == "serve" { (said.err, said.out) } else { (said.out, said.err) };
        assert_eq!(other, "");
        assert!(told.ends_with('\n'));
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        for (line, place) in lines.iter().zip(["1:1", "2:3", "3:3", "5:5"]) {
            assert!(line.starts_with(&format!("error: {path}:{place}: ")), "{line}");
        }
        assert!(told.contains("did you mean `listen_address`?"), "{told}");
    }
    for (env, word) in [
        (vec![], "SLUICEGATE_ACCESS_KEY"),
        (vec![("SLUICEGATE_CONFIG", "/nowhere/at/all.yml")], "/nowhere/at/all.yml: cannot be read"),
        (vec![("SLUICEGATE_CONFIG_CONTENT", "server: [")], "SLUICEGATE_CONFIG_CONTENT:2:"),
        (
            vec![("SLUICEGATE_REMOTE_WRITE_URL", "there"), ("SLUICEGATE_ACCESS_KEY", "k")],
            "SLUICEGATE_REMOTE_WRITE_URL: ",
        ),
    ] {
        let said = run(&["serve"], &env, b"");
        assert_eq!(said.code, 78, "{said:?}");
        assert!(said.err.contains(word), "{said:?}");
        assert!(said.err.lines().all(|line| line.starts_with("error: ")), "{said:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = config("http://127.0.0.1:9/", "", "", "");
    for (section, text) in [
        (
            "server",
            text.replacen("listen_address: 127.0.0.1:0", &format!("listen_address: {address}"), 1),
        ),
        (
            "telemetry",
            text.replace(
                "{ listen_address: 127.0.0.1:0 }",
                &format!("{{ listen_address: \"{address}\" }}"),
            ),
        ),
    ] {
        let said = Gateway::launch(&["serve"], &[("SLUICEGATE_CONFIG_CONTENT", &text)]).await;
        let said = said.unwrap_err();
        assert_eq!(said.code, 1, "{said:?}");
        let last: serde_json::Value =
            serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
        assert_eq!(last["level"], "ERROR");
        let error = last["error"].as_str().unwrap();
        let expected =
            format!("listen on {section}.listen_address, {address}: Address already in use");
        assert!(error.starts_with(&expected), "{error}");
    }
}
