//! The page at the public address: people sign in to it by GitHub.

use std::path::PathBuf;

use http::header::{ACCEPT, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode, redirect};
use windlass::sandbox::forge::state::UserKind;

use crate::support::lab::{has, has_not};
use crate::support::{Setup, World};

/// Somebody's browser, without its following of redirects.
struct Browser<'a> {
    world: &'a World,
    client: Client,
    cookies: String,
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none());
        Self {
            world,
            client: client.build().unwrap(),
            cookies: String::new(),
        }
    }

    /// Opens an address, and keeps the cookies that come with the answer.
    async fn open(&mut self, address: &str) -> Response {
        let address = match address.starts_with('/') {
            true => format!("{}{address}", self.world.windlass.url),
            false => address.to_string(),
        };
        let request = self.client.get(address).header(ACCEPT, "text/html");
        let answer = request.header(COOKIE, &self.cookies).send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            has(cookie, &["; Path=/; HttpOnly; SameSite=Lax"]);
            let pair = cookie.split(';').next().unwrap();
            self.cookies = format!("{}; {pair}", self.cookies);
        }
        answer
    }

    /// Signs in on GitHub as somebody; where that leads, and with which answer.
    async fn sign_in(&mut self, login: &str, path: &str) -> (String, Response) {
        let sent = self.open(path).await;
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
        let github = format!("{}&login={login}", location(&sent));
        let back = location(&self.open(&github).await);
        let answer = self.open(&back).await;
        (back, answer)
    }
}

fn location(answer: &Response) -> String {
    let location = answer.headers().get(LOCATION).expect("a redirect");
    location.to_str().unwrap().to_string()
}

/// A world whose page has a sign-in.
async fn world() -> World {
    let mut world = World::asleep(Setup::default()).await;
    let address = world.windlass.url.clone();
    let secret = {
        let mut state = world.forge.state();
        state.add_user("eve", UserKind::User);
        state.app.callback_urls = vec![format!("{address}/signed-in")];
        state.app.client_secret.clone()
    };
    let file: PathBuf = world.cache().with_file_name("client-secret");
    std::fs::write(&file, secret).unwrap();
    let file = file.to_str().unwrap().to_string();
    world.windlass.environment.extend([
        ("WINDLASS_PAGE_URL", address),
        ("WINDLASS_PAGE_CLIENT_SECRET_FILE", file),
    ]);
    world.start();
    world.quiet().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_by_github_and_see_what_they_may_read() {
    let world = world().await;
    // A program is told; and what is for people inside is not at this address.
    let plain = |path: &str| {
        let address = format!("{}{path}", world.windlass.url);
        world.http.get(address).send()
    };
    let answer = plain("/api/overview").await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        plain("/metrics").await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    // Whoever reaches the private address signs in as well.
    let mut rita = Browser::new(&world);
    let inside = world.windlass.metrics_url.replace("/metrics", "/");
    let sent = rita.open(&inside).await;
    assert_eq!(location(&sent), world.windlass.url);

    let (back, answer) = rita.sign_in("rita", "/applications/shop/staging").await;
    assert_eq!(location(&answer), "/applications/shop/staging");
    let shown = rita.open("/applications/shop/staging").await;
    assert_eq!(shown.status(), StatusCode::OK);
    let policy = shown.headers()["content-security-policy"].clone();
    has(
        policy.to_str().unwrap(),
        &["default-src 'none'", "frame-ancestors 'none'"],
    );
    let text = shown.text().await.unwrap().replace("&#x2f;", "/");
    has(&text, &["shop/staging", "rita", "Sign out"]);
    let overview = rita.open("/").await.text().await.unwrap();
    let overview = overview.replace("&#x2f;", "/");
    has(&overview, &["acme/config", "rita"]);

    // Somebody else's way back is none of this browser's; and a code is good once.
    let mut other = Browser::new(&world);
    let answer = other.open(&back).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    has(
        &answer.text().await.unwrap(),
        &["was not begun in this browser"],
    );
    other.open("/").await;
    let state = other.cookies.split("sign-in=").nth(1).unwrap();
    let state = state.split('.').next().unwrap();
    let answer = other
        .open(&format!("/signed-in?code=used&state={state}"))
        .await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    has_not(&other.cookies, &["windlass-session"]);

    // Who may not read the repository sees nothing of it.
    let mut eve = Browser::new(&world);
    let (_, answer) = eve.sign_in("eve", "/").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let said = answer.text().await.unwrap();
    has(&said, &["eve may not read the config repositories"]);
    has_not(&said, &["acme"]);
    has_not(&eve.cookies, &["windlass-session"]);
    assert_eq!(eve.open("/").await.status(), StatusCode::SEE_OTHER);

    // The session is over on the server, whatever the browser keeps.
    let address = format!("{}/sign-out", world.windlass.url);
    let request = rita.client.post(address).header(COOKIE, &rita.cookies);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(rita.open("/").await.status(), StatusCode::SEE_OTHER);
}
