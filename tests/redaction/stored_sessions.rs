//! Sessions that are stored: what is stored, and what goes wrong with it.

use std::fs;
use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, TestServer, When};
use possession::*;

use crate::common::server::{SECOND, always};
use crate::scene::{HOUR, with_refresh_token};
use crate::watch::{PARAMETER, REFRESH_TOKEN, SECRET, Watch};

#[test]
fn c_71_stored_sessions_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("sessions");
    let clock = ManualClock::new();
    let builder = TestServer::builder().clock(clock.clone()).nonces(Nonces::Lifetime(300 * SECOND));
    let server = builder.client("app", SECRET).start().unwrap();
    with_refresh_token(&server);
    let store = FileStore::new(&folder, "orders").unwrap();
    watch.show(&store);
    let builder = server.session().clock(clock.clone()).parameter("extra", PARAMETER).store(store.clone());
    watch.show(&builder);

    let session = builder.clone().discover().unwrap();
    watch.show_token(&session);
    let text = fs::read_to_string(store.path()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    watch.key(&KeyPair::from_jwk(&value["key"].to_string()).unwrap());
    assert!(text.contains(REFRESH_TOKEN));
    watch.show(store.load().unwrap().unwrap());
    watch.show(store.lock(Duration::ZERO).unwrap());
    watch.show(&session);

    // Another process renews, a restart, a rotation, and an end.
    let other = builder.clone().discover().unwrap();
    clock.advance(HOUR);
    [&other, &session].into_iter().for_each(|session| watch.show_token(session));
    let next = watch.new_key(Algorithm::Ed25519);
    watch.show_result(session.rotate_key(next));
    watch.show_token(&session);
    // The key of the other session is not the stored one any more.
    other.discard_token();
    watch.show_token(&other);
    server.rotate_nonces();
    watch.show_token(&builder.clone().discover().unwrap());

    // Damages next to every secret, and a store that cannot be used.
    let text = fs::read_to_string(store.path()).unwrap();
    let restart = |watch: &mut Watch| watch.show_result(builder.clone().discover().map(drop));
    for secret in ["\"d\":\"", "\"access_token\":\"", "\"refresh_token\":\"", "\"nonce\":\""] {
        let place = text.find(secret).unwrap() + secret.len();
        for damage in ["\"", "\\", "\\u0000", "\n", "\u{e9} \"", "\",\"d\":\""] {
            fs::write(store.path(), format!("{}{damage}{}", &text[..place], &text[place..])).unwrap();
            restart(&mut watch);
            watch.show_result(store.load());
            watch.show_token(&session);
        }
        fs::write(store.path(), &text[..place + 20]).unwrap();
        restart(&mut watch);
        fs::write(store.path(), text.replace(secret, &secret.replace(":\"", ":[\"")).replace("\",", "\"],"))
            .unwrap();
        restart(&mut watch);
    }
    // A secret of the wrong type, or in the wrong place.
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for place in ["issuer", "jkt", "key", "refresh_token", "tokens", "servers"] {
        for wrong in [SECRET.into(), serde_json::json!([SECRET]), serde_json::json!([{SECRET: SECRET}])] {
            let mut value = value.clone();
            value[place] = wrong.clone();
            fs::write(store.path(), value.to_string()).unwrap();
            // The issuer is not a secret, and is shown.
            if place != "issuer" || !wrong.is_string() {
                restart(&mut watch);
            }
        }
    }
    fs::write(store.path(), text.replace("my-client", "x").replace("\"app\"", "\"other\"")).unwrap();
    restart(&mut watch);
    fs::write(store.path(), text.replace("\"version\":1", "\"version\":2")).unwrap();
    restart(&mut watch);
    fs::write(store.path(), &text).unwrap();
    server.misbehave(Endpoint::Token, When::Next(1), Quirk::ErrorCode("invalid_client".to_owned()));
    session.discard_token();
    watch.show_token(&session);
    always(&server, Endpoint::Token, Quirk::Member { name: "expires_in".to_owned(), json: "[]".to_owned() });
    session.discard_token();
    watch.show_token(&session);
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    session.discard_token();
    watch.show_token(&session);
    restart(&mut watch);
    watch.show_result(session.end());
    drop((session, other));
    fs::remove_file(&folder).unwrap();

    // A refresh token, the server's refusal of it, and what remains.
    let prover = Prover::new(watch.new_key(Algorithm::Es256)).unwrap();
    let settings = server.session().clock(clock.clone()).store(FileStore::new(&folder, "login").unwrap());
    let grant = Grant::refresh_token(REFRESH_TOKEN);
    watch.show(&grant);
    let settings = settings.prover(&prover).store_key().grant(grant);
    watch.show(&settings);
    let session = settings.clone().discover().unwrap();
    watch.show(&session);
    watch.show(FileStore::new(&folder, "login").unwrap().load().unwrap());
    watch.show_token(&session);
    watch.show_token(&session);
    watch.show_result(settings.clone().discover());
    watch.show_result(settings.grant(Grant::stored()).discover());
    watch.show_result(session.end());
    drop(session);

    assert!(watch.sent(&server) > 10);
    watch.check(&[
        "that another process has stored is used",
        "the session is not stored: the stored one has the key",
        "the session continues without its store",
        "reading a stored session",
        "has_refresh_token",
        "(sign in again)",
        "FileStore",
        "StoreLock",
    ]);
}
