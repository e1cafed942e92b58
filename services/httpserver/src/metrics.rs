//! A few true figures, as Prometheus reads them. Labels are bounded: routes are those that
//! exist, never paths; methods are the known ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Method, StatusCode};
use gorgone_runtime::Exposition;

/// What has happened since the start, and what is under way.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<Arc<str>, Counts>>,
    pub(crate) connections: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) tls_failures: AtomicU64,
}

/// How often a route was asked, by method and status.
type Counts = BTreeMap<(&'static str, u16), u64>;

impl Metrics {
    pub(crate) fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode) {
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        let route = route.unwrap_or("none");
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if !requests.contains_key(route) {
            requests.insert(route.into(), Counts::new());
        }
        if let Some(counts) = requests.get_mut(route) {
            *counts.entry((method, status.as_u16())).or_default() += 1;
        }
    }

    /// Writes them for Prometheus.
    pub(crate) fn write(&self, text: &mut Exposition, waiters: usize) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = text.counter(
            "gorgone_http_requests_total",
            "Requests that were answered.",
        );
        for (route, counts) in &*requests {
            for ((method, status), count) in counts {
                let status = status.to_string();
                let labels = [
                    ("route", &**route),
                    ("method", *method),
                    ("status", &*status),
                ];
                family.sample(&labels, *count as f64);
            }
        }
        drop(requests);
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let connections = self.connections.load(Ordering::Relaxed) as u64;
        text.gauge("gorgone_http_connections", "Connections that are open.")
            .count(connections);
        text.counter(
            "gorgone_http_connections_accepted_total",
            "Connections that were accepted.",
        )
        .count(load(&self.accepted));
        text.counter(
            "gorgone_http_connections_refused_total",
            "Connections that were refused: too many, or too many from one address.",
        )
        .count(load(&self.refused));
        text.counter(
            "gorgone_http_tls_failures_total",
            "TLS handshakes that failed.",
        )
        .count(load(&self.tls_failures));
        text.gauge(
            "gorgone_http_waiters",
            "Callers that wait, streams included.",
        )
        .count(waiters as u64);
    }
}
