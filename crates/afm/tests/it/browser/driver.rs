//! Chromium without a window, told what to do by WebDriver.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use slamon_testbed::Process;
use tempfile::TempDir;

use crate::test_app::PATIENCE;

/// A name under which a browser finds this machine, and over which it does not say where requests come from
/// (`Sec-Fetch-Site`), as over HTTP to any other machine.
pub(crate) const OTHER_NAME: &str = "afm.test";

/// A browser with one tab. It ends with this value.
pub(crate) struct Browser {
    _driver: Process,
    _profile: TempDir,
    session: String,
    http: ureq::Agent,
    server: SocketAddr,
}

impl Browser {
    /// Starts a browser for the server at this address.
    #[track_caller]
    pub(crate) fn start(server: SocketAddr) -> Self {
        let driver = Process::start("chromedriver".as_ref(), &["--port=0"], &[]).expect("sh runs");
        let port = driver.find_line(PATIENCE, |line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("chromedriver starts; `make setup` installs it");
        let http = ureq::Agent::config_builder().http_status_as_error(false);
        let http: ureq::Agent = http.timeout_global(Some(2 * PATIENCE)).build().into();
        let profile = TempDir::new().expect("a temporary folder");
        let arguments = [
            "--headless=new",
            // The sandbox refuses root; nothing but pages of ours is shown.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--lang=en",
            "--hide-scrollbars",
            &format!("--host-resolver-rules=MAP {OTHER_NAME} 127.0.0.1"),
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"script": 60_000},
        }}});
        let root = format!("http://127.0.0.1:{port}");
        let answer = http.post(format!("{root}/session")).send_json(&wanted).expect("chromedriver answers");
        let answer: Value = answer.into_body().read_json().expect("JSON");
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no session: {answer:#}"));
        let session = format!("{root}/session/{id}");
        let browser = Self { _driver: driver, _profile: profile, session, http, server };
        browser.size(1280, 900);
        browser
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.session)).send_json(body);
        let body = answer.expect("chromedriver answers").into_body();
        let answer: Value = body.into_with_config().limit(u64::MAX).read_json().expect("JSON");
        answer["value"].clone()
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        let value = self.ask(path, body);
        assert!(value.get("error").is_none(), "{path} {body}: {value:#}\n{}", self.text());
        value
    }

    /// Opens a path of the server.
    #[track_caller]
    pub(crate) fn open(&self, path: &str) {
        self.open_url(&format!("http://{}{path}", self.server));
    }

    #[track_caller]
    pub(crate) fn open_url(&self, url: &str) {
        self.command("/url", &json!({"url": url}));
    }

    /// Runs a script in the page, and returns what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs a script that calls `done` with what it returns.
    #[track_caller]
    pub(crate) fn run_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[0]; {script}");
        self.command("/execute/async", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true in the page, which may be another page by then.
    #[track_caller]
    pub(crate) fn until(&self, condition: &str) {
        // Where scripts are turned off, nothing in the page can wait: it is asked again and again. A page that goes away
        // answers with an error, and then the next one is asked.
        let script = format!("try {{ return Boolean({condition}); }} catch {{ return false; }}");
        let script = json!({"script": script, "args": []});
        let deadline = Instant::now() + PATIENCE;
        while self.ask("/execute/sync", &script) != true {
            assert!(Instant::now() < deadline, "never came: {condition}\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the content of the page has this text.
    #[track_caller]
    pub(crate) fn until_text(&self, text: &str) {
        self.until(&format!("document.querySelector('main').innerText.includes({})", json!(text)));
    }

    /// Returns the address and the text of the page.
    pub(crate) fn text(&self) -> String {
        let script = "return location.href + '\\n' + document.body.innerText";
        let value = self.ask("/execute/sync", &json!({"script": script, "args": []}));
        value.as_str().map(str::to_owned).unwrap_or_default()
    }

    /// Returns the only element that a selector or a path names.
    #[track_caller]
    fn element(&self, using: &str, value: &str) -> String {
        let found = self.command("/elements", &json!({"using": using, "value": value}));
        let found = found.as_array().expect("a list");
        assert_eq!(found.len(), 1, "{value}\n{}", self.text());
        let id = found[0].as_object().and_then(|element| element.values().next()).and_then(Value::as_str);
        id.expect("an element").to_owned()
    }

    /// Clicks on the only element that a selector names.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        let element = self.element("css selector", css);
        self.command(&format!("/element/{element}/click"), &json!({}));
    }

    /// Presses Enter on an element, which needs no place: one may move while the page changes.
    #[track_caller]
    fn enter(&self, xpath: &str) {
        let element = self.element("xpath", xpath);
        self.command(&format!("/element/{element}/value"), &json!({"text": "\u{e007}"}));
    }

    /// Follows the only link or presses the only button of the content with this text.
    #[track_caller]
    pub(crate) fn press(&self, text: &str) {
        let is_it = format!("normalize-space(.)='{text}'");
        self.enter(&format!("//main//a[{is_it}] | //main//button[{is_it}]"));
    }

    /// Follows a link of the bar at the top.
    #[track_caller]
    pub(crate) fn go_to(&self, page: &str) {
        self.enter(&format!("//header//nav//a[normalize-space(.)='{page}']"));
    }

    /// Writes into a field in place of what is there.
    #[track_caller]
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.element("css selector", css);
        self.command(&format!("/element/{element}/clear"), &json!({}));
        self.command(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Presses keys, wherever the focus is.
    #[track_caller]
    pub(crate) fn keys(&self, text: &str) {
        let press =
            |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}));
        let keys: Vec<Value> = text.chars().flat_map(press).collect();
        self.command("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]}));
    }

    /// Pastes into a field what was copied.
    #[track_caller]
    pub(crate) fn paste(&self, css: &str) {
        let element = self.element("css selector", css);
        // The control key is held down until the end.
        self.command(&format!("/element/{element}/value"), &json!({"text": "\u{e009}v"}));
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Gives the page another size.
    #[track_caller]
    pub(crate) fn size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Has the viewer prefer dark pages, or light ones.
    #[track_caller]
    pub(crate) fn dark(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Hides the page, as behind another window, or shows it again.
    #[track_caller]
    pub(crate) fn hide(&self, is_hidden: bool) {
        let (path, body) = if is_hidden {
            ("/window/minimize", json!({}))
        } else {
            ("/window/rect", json!({"x": 0, "y": 0, "width": 1280, "height": 900}))
        };
        self.command(path, &body);
        self.until(&format!("document.hidden === {is_hidden}"));
    }

    /// Has the viewer be in another time zone.
    #[track_caller]
    pub(crate) fn time_zone(&self, zone: &str) {
        self.devtools("Emulation.setTimezoneOverride", &json!({"timezoneId": zone}));
    }

    /// Runs a script in each page from now on, before those of the page.
    #[track_caller]
    pub(crate) fn run_first(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script}));
    }

    /// Turns the scripts of pages off, or on again.
    #[track_caller]
    pub(crate) fn scripts(&self, are_on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": !are_on}));
    }

    /// Writes a picture of what is seen of the page to a file.
    #[track_caller]
    pub(crate) fn picture(&self, file: &Path) {
        let picture = self.devtools("Page.captureScreenshot", &json!({}));
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base 64");
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, bytes).expect("the picture is written");
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.command("/se/log", &json!({"type": kind})).as_array().expect("a list").clone()
    }

    /// Asserts that the console had no message, and that nothing was asked of another host.
    #[track_caller]
    pub(crate) fn was_quiet(&self) {
        let console = self.log("browser");
        assert!(console.is_empty(), "{console:#?}");
        for entry in self.log("performance") {
            let message: Value = entry["message"].as_str().expect("a text").parse().expect("JSON");
            let message = &message["message"];
            if message["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let url = message["params"]["request"]["url"].as_str().expect("a URL");
            let ours = [
                format!("http://{}/", self.server),
                format!("http://{OTHER_NAME}:{}/", self.server.port()),
                "data:".to_owned(),
                // The page with which the browser begins.
                "chrome://".to_owned(),
            ];
            assert!(ours.iter().any(|ours| url.starts_with(ours)), "the page asked for {url}");
        }
    }

    /// Returns the address of the page.
    #[track_caller]
    pub(crate) fn address(&self) -> String {
        self.run("return location.href").as_str().expect("a URL").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is a child of the driver's, which ends it.
        let end = self.http.delete(&self.session).config().timeout_global(Some(Duration::from_secs(10)));
        drop(end.build().call());
    }
}
