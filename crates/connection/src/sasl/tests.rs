use zeroize::Zeroizing;

use super::conversation::{Conversation, Next};
use super::*;

/// The client's first and last message, and what becomes of the server's last one.
fn talk(sasl: &Sasl, nonce: &str, server: [&str; 2]) -> Result<[String; 2], SaslFault> {
    let text = |message: Zeroizing<Vec<u8>>| String::from_utf8(message.to_vec()).unwrap();
    let (mut conversation, first) = Conversation::begin(sasl, nonce.to_owned());
    let Next::Derive(derivation) = conversation.received(server[0].as_bytes())? else {
        panic!("no work");
    };
    let last = conversation.derived(derivation.run());
    let Next::Done = conversation.received(server[1].as_bytes())? else {
        panic!("more work");
    };
    Ok([text(first), text(last)])
}

const RFC_7677: [&str; 2] = [
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
];
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

fn user() -> Sasl {
    Sasl::scram_sha_256("user", "pencil")
}

#[test]
fn the_example_of_rfc_7677() {
    let said = talk(&user(), NONCE, RFC_7677).unwrap();
    assert_eq!(said[0], "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert_eq!(
        said[1],
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    for signature in [
        "v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        "v=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
    ] {
        let fault = talk(&user(), NONCE, [RFC_7677[0], signature]).unwrap_err();
        assert_eq!(fault, SaslFault::ServerUnproven, "{signature}");
    }
    let fault = talk(&user(), NONCE, [RFC_7677[0], "e=other-error"]).unwrap_err();
    assert!(matches!(fault, SaslFault::Malformed { .. }), "{fault}");
}

#[test]
fn iterations_are_bounded_and_nonces_go_on_from_ones_own() {
    let challenged = |message: &str| talk(&user(), "abc", [message, ""]).unwrap_err();
    for iterations in [0, 1, 4095, 1_000_001, u32::MAX] {
        let fault = challenged(&format!("r=abcd,s=AAAA,i={iterations}"));
        assert!(
            matches!(fault, SaslFault::Iterations { iterations: asked, .. } if asked == iterations),
            "{fault}"
        );
    }
    for nonsense in [
        "",
        "r=abcd",
        "r=abcd,s=AAAA",
        "r=abcd,s=?,i=4096",
        "r=abcd,s=AAAA,i=-1",
        "r=abcd,s=AAAA,i=99999999999",
        "r=abc,s=AAAA,i=4096",
        "r=xbcd,s=AAAA,i=4096",
        "s=AAAA,r=abcd,i=4096",
        "m=x,r=abcd,s=AAAA,i=4096",
        "e=invalid-encoding",
    ] {
        let fault = challenged(nonsense);
        assert!(
            matches!(fault, SaslFault::Malformed { .. }),
            "{nonsense}: {fault}"
        );
    }
    let (mut conversation, _) = Conversation::begin(&user(), "abc".into());
    assert!(conversation.received(b"r=abcd\xff,s=AAAA,i=4096").is_err());
}

#[test]
fn names_are_escaped_and_plain_is_plain() {
    let sasl = Sasl::scram_sha_512("a=b,c", "x");
    let (_, first) = Conversation::begin(&sasl, "n".into());
    assert_eq!(&**first, b"n,,n=a=3Db=2Cc,r=n");
    let (mut conversation, first) =
        Conversation::begin(&Sasl::plain("alice", "secret"), "n".into());
    assert_eq!(&**first, b"\0alice\0secret");
    assert!(matches!(conversation.received(b""), Ok(Next::Done)));
}

#[test]
fn the_password_is_not_shown() {
    let shown = format!("{:?}", Sasl::plain("alice", "secret"));
    assert!(
        shown.contains("alice") && !shown.contains("secret"),
        "{shown}"
    );
}
