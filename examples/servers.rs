//! Runs the demonstration servers of `client_credentials` by themselves, to try another client against them.
//!
//! Prints one line `READY {…}` and runs until its standard input ends.

#[path = "demo/servers.rs"]
mod servers;

use std::io::Read;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let demo = servers::start()?;
    let ready = serde_json::json!({
        "issuer": demo.issuer,
        "resource": demo.resource,
        "client_id": servers::CLIENT_ID,
        "client_secret": demo.client_secret,
    });
    println!("READY {ready}");
    eprintln!("Plain http on loopback, so clients need --dangerous-http. Runs until standard input ends.");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
