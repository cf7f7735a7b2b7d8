//! The page: its files are in the program, phoenix.js is the one that npm installed, the transport is from `js/`.

use std::{collections::HashMap, env, fs, io, path::Path};

use hyper::{
    Method, Request, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use lapwing::{Body, CheckOrigin, transports::origin::OriginPatternError};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, type, text.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("../web/index.html")),
    ("/style.css", CSS, include_str!("../web/style.css")),
    ("/chat.css", CSS, include_str!("../web/chat.css")),
    ("/network.css", CSS, include_str!("../web/network.css")),
    ("/phone.css", CSS, include_str!("../web/phone.css")),
    ("/icon.svg", SVG, include_str!("../web/icon.svg")),
    ("/main.js", JS, include_str!("../web/main.js")),
    ("/dom.js", JS, include_str!("../web/dom.js")),
    ("/me.js", JS, include_str!("../web/me.js")),
    ("/room.js", JS, include_str!("../web/room.js")),
    ("/rooms.js", JS, include_str!("../web/rooms.js")),
    ("/seen.js", JS, include_str!("../web/seen.js")),
    ("/messages.js", JS, include_str!("../web/messages.js")),
    ("/people.js", JS, include_str!("../web/people.js")),
    ("/typing.js", JS, include_str!("../web/typing.js")),
    ("/cursors.js", JS, include_str!("../web/cursors.js")),
    ("/network.js", JS, include_str!("../web/network.js")),
    ("/lanes.js", JS, include_str!("../web/lanes.js")),
    ("/phone.js", JS, include_str!("../web/phone.js")),
    ("/other.js", JS, include_str!("../web/other.js")),
    ("/traffic.js", JS, include_str!("../web/traffic.js")),
];

/// Where the page is, unless `ORIGINS` says otherwise.
const ORIGINS: &str = "//localhost,//127.0.0.1,//[::1]";

/// Which pages may connect. A list, as the default believes the request's own `Host`: the page of an attacker, whose name
/// leads to the address of this machine, has the attacker's name in both.
pub(crate) fn origins() -> Result<CheckOrigin, OriginPatternError> {
    CheckOrigin::list(env::var("ORIGINS").as_deref().unwrap_or(ORIGINS).split(','))
}

/// What the program answers besides channels.
pub(crate) struct Web {
    phoenix: String,
    /// The files of the transport by their paths.
    transport: HashMap<String, String>,
}

impl Web {
    /// Reads phoenix.js and the transport.
    ///
    /// # Errors
    /// When npm has not installed the first, or the second is not where it is in a clone; the text says what to do.
    pub(crate) fn load() -> Result<Self, String> {
        // Another program of the clone has this module, too, and a manifest elsewhere.
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("js/src").is_dir());
        let root = root.ok_or("the clone that this was built in is gone")?;
        let file = root.join("node_modules/phoenix/priv/static/phoenix.mjs");
        let phoenix =
            fs::read_to_string(file).map_err(|_| format!("run \"npm ci\" in {}", root.display()))?;
        let transport = read_modules(&root.join("js/src"))
            .map_err(|error| format!("the transport in {}/js cannot be read: {error}", root.display()))?;
        Ok(Self { phoenix, transport })
    }

    /// The file that a request asks for, if it asks for one.
    pub(crate) fn respond<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let path = request.uri().path();
        if path == "/phoenix.mjs" {
            return Some(file(JS, self.phoenix.clone().into()));
        }
        if let Some(text) = path.strip_prefix("/lapwing/").and_then(|path| self.transport.get(path)) {
            return Some(file(JS, text.clone().into()));
        }
        let &(_, kind, text) = FILES.iter().find(|(name, ..)| *name == path)?;
        Some(file(kind, text.into()))
    }
}

/// The modules of a folder and of those in it, by their paths.
fn read_modules(folder: &Path) -> io::Result<HashMap<String, String>> {
    let mut modules = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = name.to_string_lossy();
        if path.is_dir() {
            let inner = read_modules(&path)?;
            modules.extend(inner.into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            modules.insert(name.into_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(modules)
}

fn file(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // The files change with the program, not with a version in their names.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
