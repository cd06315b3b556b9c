//! What the deployed bytes tell about themselves: whom to tell about a hole, and which sources.
//!
//! The first is a `security.txt`, which public tools find in any program. Who deploys says who
//! they are: `scripts/build-program` reads it from settings and records it, so that whoever
//! rebuilds gets the same bytes.

const NAME: &str = or(option_env!("BOND_SECURITY_NAME"), "podledger bond");
const PROJECT_URL: &str =
    or(option_env!("BOND_SECURITY_PROJECT_URL"), "ask the operator of this deployment");
const CONTACTS: &str =
    or(option_env!("BOND_SECURITY_CONTACTS"), "other:the operator of this deployment");
const POLICY: &str = or(option_env!("BOND_SECURITY_POLICY"), "report privately first");
const SOURCE_CODE: &str =
    or(option_env!("BOND_SECURITY_SOURCE_CODE"), "ask the operator of this deployment");

/// Names and values by turns; every piece is followed by a zero byte.
const PIECES: [&str; 12] = [
    "=======BEGIN SECURITY.TXT V1=======",
    "name",
    NAME,
    "project_url",
    PROJECT_URL,
    "contacts",
    CONTACTS,
    "policy",
    POLICY,
    "source_code",
    SOURCE_CODE,
    "=======END SECURITY.TXT V1=======",
];

/// Public tools find this text in the deployed bytes.
#[used]
pub static SECURITY_TXT: [u8; length()] = joined();

/// Which sources this was built from: the git tree hash of `src` (a commit hash would change
/// itself). `scripts/build-program` gives it.
#[used]
pub static SOURCE_TREE: &str = or(option_env!("BOND_SOURCE_TREE"), "source_tree:unknown");

const fn or(given: Option<&'static str>, otherwise: &'static str) -> &'static str {
    match given {
        Some(text) => text,
        None => otherwise,
    }
}

const fn length() -> usize {
    let (mut sum, mut place) = (0, 0);
    while place < PIECES.len() {
        sum += PIECES[place].len() + 1;
        place += 1;
    }
    sum
}

const fn joined() -> [u8; length()] {
    let mut text = [0; length()];
    let (mut at, mut place) = (0, 0);
    while place < PIECES.len() {
        let piece = PIECES[place].as_bytes();
        let mut from = 0;
        while from < piece.len() {
            text[at + from] = piece[from];
            from += 1;
        }
        at += piece.len() + 1;
        place += 1;
    }
    text
}
