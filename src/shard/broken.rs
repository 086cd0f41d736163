//! Development: what is shown in place of an application that could not be imported.
//!
//! Owns the page. That there is something to show the supervisor says by mail, and only where `reload` is on: a traceback is for nobody but
//! whoever writes the application.

use super::answer::Facts;
use super::connection::{Connection, Next};
use super::output::Gone;
use crate::http::Method;
use crate::http::head::Head;
use crate::response::{Body, Response};
use crate::ring::Payload;

/// Marks the page for its own script, which asks again and again whether it is still there, and what the script asks.
const FIELD: &str = "Maitred-Import";

/// After a GET, which can be repeated, the page goes by itself once the application is there.
const SCRIPT: &str = "<script>\nsetInterval(async () => {\n  try {\n    const answer = await fetch(location.href, \
    { method: \"HEAD\", cache: \"no-store\", redirect: \"manual\", headers: { \"Maitred-Import\": \"ask\" } });\n    if (!answer.headers.has(\"Maitred-Import\")) \
    location.reload();\n  } catch {}\n}, 500);\n</script>\n";

impl Connection {
    /// Answers a request while the application is broken; `None` if it is not.
    pub(super) async fn broken(&mut self, head: &Head<'_>, facts: Facts) -> Option<Result<Next, Gone>> {
        let reason = self.shard.broken.borrow().clone()?;
        if head.fields.first(FIELD).is_some() {
            // Twice a second it would bury what is to be read.
            self.exchange.borrow_mut().keep_out_of_log();
        }
        let mut response = Response::new(500)
            .with("Content-Type", b"text/html; charset=utf-8")
            .with("Cache-Control", b"no-store")
            .with(FIELD, b"failed");
        response.body = Body::Bytes(Payload::from(page(&reason, facts.method == Method::Get)));
        Some(self.respond_over_body(head, response, facts).await)
    }
}

fn page(reason: &str, goes_by_itself: bool) -> Vec<u8> {
    let last = reason.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let script = if goes_by_itself { SCRIPT } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>The application could not be imported</title>\n\
         <style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }}\n\
         h1 {{ font-size: 1.3em; color: #a11 }} h2 {{ font: 1em/1.5 ui-monospace, monospace }}\n\
         pre {{ background: #8881; border-left: 4px solid #a11; overflow-x: auto; padding: 1em }}</style></head>\n\
         <body>\n<h1>The application could not be imported</h1>\n<h2>{}</h2>\n<pre>{}</pre>\n\
         <p>The next change is tried as soon as it is saved. This page is shown because the server runs with \
         <code>reload</code>, which is for development.</p>\n{script}</body>\n</html>\n",
        escape(last),
        escape(reason)
    )
    .into_bytes()
}

/// Text within an element.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len() + 64), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_is_text_whatever_is_in_it() {
        let reason = "Traceback:\n  File \"a.py\"\nValueError: <script>alert(1)</script> & \u{1b}[31m\n\n";
        let shown = String::from_utf8(page(reason, false)).expect("text");
        assert!(!shown.contains("<script") && !shown.contains('\u{1b}'), "{shown}");
        let last = "ValueError: &lt;script&gt;alert(1)&lt;/script&gt; &amp; \u{fffd}[31m";
        assert!(shown.contains(&format!("<h2>{last}</h2>")) && shown.contains("<pre>Traceback:\n  File"), "{shown}");
        assert!(String::from_utf8(page("", true)).expect("text").contains(FIELD));
    }
}
