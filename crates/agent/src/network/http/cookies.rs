//! The cookies that servers set.

use cookie_store::{CookieStore, RawCookie};
use hyper::HeaderMap;
use hyper::header::SET_COOKIE;
use reqwest::Url;

/// Cookies, kept as browsers do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cookies(CookieStore);

/// A cookie has no more bytes, with its name and attributes, and there are no more of them: what browsers have to keep
/// at least (RFC 6265, 6.1) of a domain, times four.
const LONGEST: usize = 4096;
const MOST: usize = 200;

impl Cookies {
    /// Keeps what an answer from a URL has set.
    pub(crate) fn keep(&mut self, headers: &HeaderMap, url: &Url) {
        for cookie in headers.get_all(SET_COOKIE) {
            let text = String::from_utf8_lossy(cookie.as_bytes()).into_owned();
            if text.len() > LONGEST || self.0.iter_any().count() >= MOST {
                continue;
            }
            if let Ok(cookie) = RawCookie::parse(text) {
                // One that is for somebody else is not kept.
                let _ = self.0.insert_raw(&cookie, url);
            }
        }
    }

    /// What a request to a URL has to have, the most special first: `a=b; c=d`. Empty if there is nothing.
    pub(crate) fn header(&self, url: &Url) -> String {
        let mut cookies = self.0.matches(url);
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs = cookies.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value()));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// The value of a cookie that a request to a URL would have.
    pub(crate) fn value(&self, name: &str, url: &Url) -> Option<String> {
        let mut cookies = self.0.matches(url);
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        cookies.iter().find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_go_where_they_are_for_and_in_their_order() {
        let url = |text: &str| Url::parse(text).unwrap();
        let mut headers = HeaderMap::new();
        for cookie in [
            "a=1",
            "b=2; Path=/shop",
            "c=3; Secure",
            "d=4; Domain=other.example",
            "e=5; Max-Age=0",
            "f=\"6\"; HttpOnly",
            "=;;",
        ] {
            headers.append(SET_COOKIE, cookie.parse().unwrap());
        }
        let mut cookies = Cookies::default();
        cookies.keep(&headers, &url("https://eu.shop.example/"));
        assert_eq!(cookies.header(&url("https://eu.shop.example/shop/x")), "b=2; a=1; c=3; f=\"6\"");
        assert_eq!(cookies.header(&url("http://eu.shop.example/")), "a=1; f=\"6\"");
        assert_eq!(cookies.header(&url("https://other.example/")), "");
        assert_eq!(cookies.value("b", &url("https://eu.shop.example/shop")), Some("2".to_owned()));
        assert_eq!(cookies.value("b", &url("https://eu.shop.example/")), None);
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT".parse().unwrap());
        cookies.keep(&headers, &url("https://eu.shop.example/"));
        assert_eq!(cookies.header(&url("http://eu.shop.example/")), "f=\"6\"");
    }

    #[test]
    fn there_are_not_too_many_cookies_and_none_is_too_long() {
        let url = Url::parse("https://shop.example/").unwrap();
        let mut cookies = Cookies::default();
        for round in 0..10 {
            let mut headers = HeaderMap::new();
            for number in 0..100 {
                headers.append(SET_COOKIE, format!("c{round}-{number}=1").parse().unwrap());
            }
            headers.append(SET_COOKIE, format!("long={}", "x".repeat(LONGEST)).parse().unwrap());
            cookies.keep(&headers, &url);
        }
        let header = cookies.header(&url);
        assert_eq!(header.split("; ").count(), MOST);
        assert!(!header.contains("long="));
    }
}
