//! Maintenance mode: a shard's side of it.
//!
//! Owns the answer that the closed site gives. Whether it is closed, the supervisor says by mail; who gets through is the configuration's.

use super::answer::Facts;
use super::connection::{Connection, Next};
use super::output::Gone;
use crate::http::head::Head;
use crate::http::target;
use crate::response::Response;

impl Connection {
    /// Answers a request while the site is closed; `None` if it is open, or open for this request.
    pub(super) async fn closed(&mut self, head: &Head<'_>, facts: Facts) -> Option<Result<Next, Gone>> {
        let rules = self.shard.maintenance.borrow().clone()?;
        // Whose client can't be known is let through by its path alone.
        let client = self.origin(head.fields).ok().and_then(|origin| origin.client);
        let decoded = target::decode_path(head.target.path_query()?.path).ok()?;
        if rules.lets_pass(client, &target::normalise(&decoded).ok()?) {
            return None;
        }
        let seconds = rules.retry_after.as_secs().max(1).to_string();
        let response = Response::error(503, "This site is being worked on and will be back soon.")
            .with_only("Retry-After", seconds.as_bytes());
        Some(match &rules.page {
            Some(page) => self.respond_over_body(head, response.with_page(page), facts).await,
            None => self.answer_over_body(head, response, facts).await,
        })
    }
}
