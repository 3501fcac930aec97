//! No field value makes the challenge parser panic, and parsed challenges that are serialized again parse to
//! the same challenges.
#![no_main]

use libfuzzer_sys::fuzz_target;
use possession::Challenge;

fuzz_target!(|data: &[u8]| {
    let Ok(challenges) = Challenge::parse(data) else { return };
    // Some servers leave the comma between parameters out.
    for separator in [", ", " "] {
        let serialized: Vec<_> = challenges.iter().map(|challenge| serialize(challenge, separator)).collect();
        assert_eq!(Challenge::parse(serialized.join(", ").as_bytes()).as_ref(), Ok(&challenges));
    }
});

fn serialize(challenge: &Challenge, separator: &str) -> String {
    let params = challenge.params().iter().map(|(name, value)| {
        format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    });
    let rest = challenge.token68().map_or_else(|| params.collect::<Vec<_>>().join(separator), str::to_owned);
    format!("{} {rest}", challenge.scheme())
}
