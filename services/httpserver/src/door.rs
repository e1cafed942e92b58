//! What every request passes before anything is done for it, and what all of them share.
//!
//! ```text
//! allowed_hosts ─▶ who is it ─▶ not too often ─▶ path ─▶ core decides what they may ask for
//!      403           401, 429        429       403, 404
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gorgone_protocol::NodeId;
use gorgone_runtime::config::{HttpLimits, HttpServerConfig, Subnet};
use tokio_util::sync::CancellationToken;

use crate::api::ApiError;
use crate::auth::{Auth, BadCredential, Buckets};
use crate::caller::Caller;
use crate::core::Core;
use crate::limits::{Account, Bodies, Place, Waiters};
use crate::metrics::Metrics;
use crate::reads::Reads;

/// Where a connection comes from: put into its requests by whoever accepted it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What the configuration says and SIGHUP may change.
pub(crate) struct Rules {
    auth: Option<Auth>,
    allowed_hosts: Option<Vec<Subnet>>,
    rate: Option<Buckets<Account>>,
    pub(crate) limits: HttpLimits,
}

impl Rules {
    /// # Errors
    /// When a credential cannot be used.
    pub(crate) fn new(config: &HttpServerConfig) -> Result<Self, BadCredential> {
        let limits = config.limits.clone();
        let rate = (limits.requests_per_second > 0).then(|| {
            let cost = Duration::from_secs(1) / limits.requests_per_second;
            Buckets::new(cost, limits.request_burst)
        });
        Ok(Self {
            auth: Auth::new(config)?,
            allowed_hosts: config.allowed_hosts.clone(),
            rate,
            limits,
        })
    }

    /// Whether anybody at this address is let in.
    fn allows(&self, peer: IpAddr) -> bool {
        self.allowed_hosts
            .as_ref()
            .is_none_or(|subnets| subnets.iter().any(|subnet| subnet.contains(peer)))
    }

    async fn admit(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if !self.allows(peer) {
            return Err(ApiError::Forbidden);
        }
        let mut presented = headers.get_all(header::AUTHORIZATION).iter();
        let user = match &self.auth {
            None => None,
            Some(auth) => {
                let first = presented.next().map(HeaderValue::as_bytes);
                // Two of them are a mistake that nobody should guess the meaning of.
                let header = first.filter(|_| presented.next().is_none());
                Some(auth.who(peer, header).await?)
            }
        };
        let caller = Caller { user, peer };
        if let Some(rate) = &self.rate {
            let account = Account::of(&caller);
            rate.take(&account, Instant::now()).map_err(|after| {
                let words = "too many requests; slow down";
                ApiError::problem(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", words)
                    .retry_after(after)
            })?;
        }
        Ok(caller)
    }
}

/// What all requests share.
pub(crate) struct Door {
    rules: RwLock<Arc<Rules>>,
    pub(crate) core: Core,
    pub(crate) reads: Arc<Reads>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) bodies: Bodies,
    pub(crate) metrics: Arc<Metrics>,
    /// When the server is to stop: whoever waits is answered with what there is.
    pub(crate) stopping: CancellationToken,
    /// This node.
    pub(crate) node: NodeId,
}

impl Door {
    pub(crate) fn new(
        rules: Rules,
        core: Core,
        metrics: Arc<Metrics>,
        stopping: CancellationToken,
        node: NodeId,
    ) -> Self {
        Self {
            rules: RwLock::new(Arc::new(rules)),
            core,
            reads: Arc::default(),
            waiters: Arc::default(),
            bodies: Bodies::default(),
            metrics,
            stopping,
            node,
        }
    }

    /// The rules that are in force.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in force; requests that are under way keep those that they began with.
    pub(crate) fn follow(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// How long core may take to answer.
    pub(crate) fn patience(&self) -> Duration {
        self.rules().limits.request_timeout
    }

    /// A place for a caller that is going to wait.
    ///
    /// # Errors
    /// When too many wait.
    pub(crate) fn wait(&self, caller: &Caller) -> Result<Place, ApiError> {
        let rules = self.rules();
        let limits = (rules.limits.max_waiters, rules.limits.max_waiters_per_user);
        Ok(self.waiters.enter(Account::of(caller), limits)?)
    }
}

/// The layer around all routes, those that do not exist included.
pub(crate) async fn pass(
    State(door): State<Arc<Door>>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let peer = request.extensions().get::<Peer>().copied();
    // Whoever accepted the connection has put it there.
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| {
        peer.0.ip().to_canonical()
    });
    let rules = door.rules();
    let mut response = match rules.admit(peer, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => {
            tracing::debug!(%peer, %method, path = request.uri().path(), ?error, "not let in");
            error.into_response()
        }
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    let route = route.as_ref().map(MatchedPath::as_str);
    door.metrics.answered(route, &method, response.status());
    response
}

/// Answers are for one caller and one moment, and are what they say they are.
const ALWAYS: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
];
