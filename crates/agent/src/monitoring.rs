//! Answers those who watch over the agent: `/metrics`, `/healthz` and `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::delivery::Delivery;
use crate::executor::Executor;
use crate::metrics::Metrics;

/// What is told of.
#[derive(Debug, Clone)]
pub(crate) struct Monitored {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) delivery: Arc<Delivery>,
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, monitored: Monitored) {
    let (readiness, told) = (Arc::clone(&monitored.metrics), monitored);
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { ready(&readiness) }))
        .route("/metrics", get(move || async move { metrics(&told) }));
    if let Err(problem) = axum::serve(listener, router).await {
        tracing::error!(%problem, "could not go on answering /metrics and /healthz");
    }
}

fn ready(metrics: &Metrics) -> Response {
    if metrics.is_answered() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "no AFM has answered lately\n").into_response()
}

fn metrics(monitored: &Monitored) -> Response {
    let Monitored { metrics, executor, delivery } = monitored;
    match metrics.text(executor.ids().len(), delivery.len()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(problem) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("could not write the metrics: {problem}\n"))
                .into_response()
        }
    }
}
