//! No field value makes the challenge parser panic, and what it reads means the same when it is written out again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use possession::Challenge;

fuzz_target!(|data: &[u8]| {
    let Ok(challenges) = Challenge::parse(data) else { return };
    // Some servers leave the comma between parameters out.
    for separator in [", ", " "] {
        let written: Vec<_> = challenges.iter().map(|challenge| write(challenge, separator)).collect();
        assert_eq!(Challenge::parse(written.join(", ").as_bytes()).as_ref(), Ok(&challenges));
    }
});

fn write(challenge: &Challenge, separator: &str) -> String {
    let params = challenge.params().iter().map(|(name, value)| {
        format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    });
    let rest = challenge.token68().map_or_else(|| params.collect::<Vec<_>>().join(separator), str::to_owned);
    format!("{} {rest}", challenge.scheme())
}
