//! The telemetry listener: `/metrics` and `/config`.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::meters::Meters;

/// What the telemetry listener shows.
#[derive(Clone)]
pub struct Exhibit {
    /// Everything counted.
    pub meters: Meters,
    /// The effective configuration as YAML, secrets hidden.
    pub config: Arc<str>,
    /// Brings the gauges up to date; called before each answer of `/metrics`.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Exhibit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exhibit")
    }
}

/// `/metrics` in Prometheus's text format and `/config` as YAML.
pub fn router(exhibit: Exhibit) -> Router {
    let Exhibit { meters, config, refresh } = exhibit;
    let process = Arc::new(metrics_process::Collector::default());
    meters.with(|| process.describe());
    let metrics = move || {
        refresh();
        meters.with(|| process.collect());
        let text = meters.render();
        async {
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
    };
    let config = move || {
        let text = config.to_string();
        async { ([(CONTENT_TYPE, "application/yaml; charset=utf-8")], text).into_response() }
    };
    Router::new().route("/metrics", get(metrics)).route("/config", get(config))
}
