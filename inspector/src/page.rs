//! A page as one answer: its style and its modules are in it, so that one request has all of it, also in a network that loses some.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use lapwing::Body;
use sha2::{Digest as _, Sha256};

/// Where the style and the script go in a page.
const STYLE: &str = "<style></style>";
const SCRIPT: &str = "<script type=\"module\"></script>";

/// A page, and the policy by which a browser runs nothing else in it.
#[derive(Debug)]
pub(crate) struct Page {
    html: Bytes,
    policy: HeaderValue,
}

impl Page {
    /// Puts a page together. Of the modules, those that others import come first.
    pub(crate) fn new(html: &str, style: &str, modules: &[&str]) -> Self {
        let script = bundle(modules);
        // `wss:` and `ws:`, as older browsers do not take a WebSocket to the page's own server for `self`.
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash(&script),
            hash(style),
        );
        let html = html.replacen(STYLE, &format!("<style>{style}</style>"), 1).replacen(
            SCRIPT,
            &format!("<script type=\"module\">{script}</script>"),
            1,
        );
        let policy = HeaderValue::try_from(policy).expect("it is ASCII");
        Self { html: html.into(), policy }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.html.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// The modules as one: each imports by whole lines, from the others alone, and no two have a name in common.
fn bundle(modules: &[&str]) -> String {
    let lines = modules.iter().flat_map(|module| module.lines()).filter(|line| !line.starts_with("import "));
    let mut script = String::new();
    for line in lines {
        script.push_str(line.strip_prefix("export ").unwrap_or(line));
        script.push('\n');
    }
    script
}

/// A source for a policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_become_one_script() {
        let one = "// One.\nexport const one = 1;\nexport function two() {\n  return 2;\n}\n";
        let other = "import { one, two } from \"./one.js\";\n\nconsole.log(one + two());\n";
        let script = bundle(&[one, other]);
        assert_eq!(
            script,
            "// One.\nconst one = 1;\nfunction two() {\n  return 2;\n}\n\nconsole.log(one + two());\n"
        );
    }

    #[test]
    fn a_page_has_all_in_it_and_a_policy_for_that_alone() {
        let html = format!("<!doctype html>{STYLE}{SCRIPT}");
        let page = Page::new(&html, "a{}", &["let b;\n"]);
        assert_eq!(page.html, "<!doctype html><style>a{}</style><script type=\"module\">let b;\n</script>");
        let policy = page.policy.to_str().unwrap();
        assert!(policy.contains(&format!("script-src '{}'", hash("let b;\n"))), "{policy}");
        assert!(!policy.contains("unsafe"));
    }
}
