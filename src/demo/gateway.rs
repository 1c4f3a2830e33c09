//! The gateway's configuration in the demo.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::{Config, Global, Log, LogFormat, Telemetry};
use crate::secret::Secret;
use crate::{deliver, map, receive};

/// A gateway on free loopback ports that takes one access key and writes to one receiver. The waits
/// are shorter than in production, so that a short demo sees the end of its fault.
#[must_use]
pub fn config(access_key: &Secret, receiver_url: &str) -> Config {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config {
        server: receive::Config {
            listen_address: loopback,
            path: PATH.to_owned(),
            access_keys: vec![receive::AccessKey {
                name: "demo".to_owned(),
                source: receive::KeySource::Key(access_key.clone()),
                source_arns: Vec::new(),
                accounts: Vec::new(),
            }],
            insecure_allow_unauthenticated: false,
            common_attributes: Vec::new(),
            on_undecodable: receive::OnUndecodable::Skip,
            request_deadline: Duration::from_secs(30),
            budget: 256 << 20,
            max_body_size: 96 << 20,
            max_connections: 1024,
            max_header_size: 128 << 10,
            read_header_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(90),
            shutdown_delay: Duration::ZERO,
            drain_deadline: Duration::from_secs(10),
        },
        telemetry: Telemetry { listen_address: loopback },
        cloudwatch: map::Config::default(),
        global: Global::default(),
        relabel_configs: Vec::new(),
        remote_write: vec![deliver::Destination {
            name: "demo".to_owned(),
            url: receiver_url.to_owned(),
            required: true,
            auth: deliver::config::Auth::None,
            headers: Vec::new(),
            tls_config: deliver::config::Tls::default(),
            write_relabel_configs: Vec::new(),
            queue_config: deliver::config::Queue {
                max_shards: 8,
                max_samples_per_send: 1000,
                max_bytes_per_send: 1 << 20,
                min_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(1),
                sample_age_limit: None,
            },
            metadata_config: deliver::config::Metadata {
                send: true,
                send_interval: Duration::from_secs(60),
                max_samples_per_send: 2000,
            },
            remote_timeout: Duration::from_secs(5),
            bad_request: deliver::config::BadRequest::Auto,
            max_isolation_requests: 512,
        }],
        log: Log { format: LogFormat::Text, level: "warn".to_owned() },
    }
}

/// Path of the Firehose endpoint.
pub const PATH: &str = "/firehose";
