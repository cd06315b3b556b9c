//! Bond codes: eight letters or digits, so that none is ever the eight bytes of a user's code.

use crate::error::Error;
use crate::key::Code;

pub fn check(code: &Code) -> Result<(), Error> {
    if code.iter().all(u8::is_ascii_alphanumeric) { Ok(()) } else { Err(Error::WrongCode) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_only() {
        assert_eq!(check(b"AZaz0918"), Ok(()));
        for outside in [b'/', b':', b'@', b'[', b'`', b'{', b' ', 0, 0x80, 0xff] {
            let mut code = *b"AAAAAAAA";
            code[7] = outside;
            assert_eq!(check(&code), Err(Error::WrongCode), "{outside}");
        }
    }
}
