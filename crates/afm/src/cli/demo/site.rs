//! The site that the demo watches: a shop with a login, which is slow now and then, and broken every few minutes.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// The site is broken for a minute of so many.
const MINUTES: u64 = 5;
const SESSION: &str = "session=demo";

/// Serves the site.
pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let site = Router::new()
        .route("/", get(|| async { Html("<h1>The shop</h1>") }))
        .route("/search", get(search))
        .route("/stock", get(stock))
        .route("/login", post(login))
        .route("/orders", post(order))
        .route("/orders/{id}", get(order_status))
        .with_state(Instant::now());
    axum::serve(listener, site).await?;
    Ok(())
}

/// Is slow for one in four.
async fn search() -> Html<&'static str> {
    let slow = if random(4) == 0 { 300 + random(2_200) } else { random(60) };
    tokio::time::sleep(Duration::from_millis(slow)).await;
    Html("<h1>3 results</h1>")
}

/// Is broken for a minute of five.
async fn stock(State(began): State<Instant>) -> Response {
    if began.elapsed().as_secs() / 60 % MINUTES == MINUTES - 1 {
        return (StatusCode::SERVICE_UNAVAILABLE, "the stock cannot be read\n").into_response();
    }
    tokio::time::sleep(Duration::from_millis(random(40))).await;
    json(&json!({ "stock": { "widgets": 12 }, "as_of": "today" }))
}

async fn login() -> Response {
    tokio::time::sleep(Duration::from_millis(20 + random(80))).await;
    ([(header::SET_COOKIE, SESSION)], json(&json!({ "token": "demo", "user": "demo" }))).into_response()
}

/// Refuses one of twenty orders.
async fn order(headers: HeaderMap) -> Response {
    let is_logged_in = headers
        .get_all(header::COOKIE)
        .iter()
        .any(|cookie| cookie.to_str().is_ok_and(|cookie| cookie.split("; ").any(|cookie| cookie == SESSION)));
    if !is_logged_in {
        return (StatusCode::UNAUTHORIZED, "log in first\n").into_response();
    }
    tokio::time::sleep(Duration::from_millis(30 + random(200))).await;
    if random(20) == 0 {
        return (StatusCode::CONFLICT, "the last widget has just been sold\n").into_response();
    }
    (StatusCode::CREATED, json(&json!({ "order": { "id": random(100_000) } }))).into_response()
}

async fn order_status(Path(id): Path<u64>) -> Response {
    json(&json!({ "order": { "id": id, "status": "confirmed" } }))
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A random number below `end`.
pub(super) fn random(end: u64) -> u64 {
    let (_, bits) = Uuid::new_v4().as_u64_pair();
    // The first two bits say of which kind the UUID is.
    (bits >> 1 & 0xffff_ffff) % end
}
