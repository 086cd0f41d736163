//! What a route adds to the answers of whoever handles it.
//!
//! Owns nothing that a request changes: built when the routes are opened, looked at by `respond` and `answer`. Most routes add nothing and have
//! none, so that it costs their requests nothing.

use crate::config::RouteConfig;
use crate::http::HeaderOps;

/// A route's additions.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Changes to the fields.
    pub headers: Option<HeaderOps>,
}

impl Extras {
    /// `None` if the route adds nothing.
    pub fn new(route: &RouteConfig) -> Option<Extras> {
        route.headers.is_some().then(|| Extras { headers: route.headers.clone() })
    }
}
