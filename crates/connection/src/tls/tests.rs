use ottla_fake::{Authority, Certificate};

use super::*;

fn client_certificate() -> Certificate {
    Authority::new().issue(["client"])
}

fn why(tls: &Tls) -> String {
    tls.load().unwrap_err().to_string()
}

#[test]
fn what_is_chosen_can_be_used() {
    let authority = Authority::new();
    let own = authority.issue(["client"]);
    let tls = Tls::new()
        .ca_pem(authority.pem())
        .certificate_pem(own.chain(), own.key());
    tls.load().unwrap();
    tls.verify_hostname(false).load().unwrap();
}

#[test]
fn a_properties_file_may_have_made_one_line_of_it() {
    let authority = Authority::new();
    let own = authority.issue(["client"]);
    let folded = |pem: &str| pem.lines().collect::<Vec<_>>().join(" ");
    let tls = Tls::new()
        .ca_pem(folded(&format!("{}{}", authority.pem(), own.chain())))
        .certificate_pem(folded(own.chain()), folded(own.key()));
    tls.load().unwrap();
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_refused() {
    let (own, other) = (client_certificate(), client_certificate());
    let tls = Tls::new()
        .ca_pem(own.chain())
        .certificate_pem(own.chain(), other.key());
    let error = tls.load().unwrap_err();
    assert!(matches!(&error, TlsConfigError::Unusable { .. }), "{error}");
    assert!(error.is_identity());
}

#[test]
fn errors_say_which_file_and_what_instead() {
    let ca = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let roots = |name: &str, bytes: &[u8]| why(&Tls::new().ca_file(file(name, bytes)));
    let text = roots("a.jks", &[0xFE, 0xED, 0xFE, 0xED, 0, 0]);
    assert!(text.contains("a.jks") && text.contains("JKS") && text.contains("keytool"));
    let text = roots("a.p12", &[0x30, 0x82, 9, 9, 2, 1, 3, 0x30]);
    assert!(text.contains("a.p12") && text.contains("PKCS#12"), "{text}");
    let text = roots("key.pem", client_certificate().key().as_bytes());
    assert!(text.contains("key.pem holds no certificate"), "{text}");
    let text = roots("cut.pem", &ca.pem().as_bytes()[..200]);
    assert!(text.contains("cut.pem is no PEM"), "{text}");
    let text = why(&Tls::new().ca_file(dir.path().join("nowhere.pem")));
    assert!(text.contains("nowhere.pem cannot be read"), "{text}");

    let own = client_certificate();
    let identity = |key: &str| {
        Tls::new()
            .ca_pem(ca.pem())
            .certificate_pem(own.chain(), key)
    };
    let error = identity(own.chain()).load().unwrap_err();
    assert!(error.to_string().contains("holds no private key") && error.is_identity());
    for encrypted in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
         -----END RSA PRIVATE KEY-----\n",
    ] {
        assert!(why(&identity(encrypted)).contains("encrypted private key"));
    }
}

#[test]
fn names_are_left_unverified_only_with_an_authority_of_ones_own() {
    let error = Tls::new().verify_hostname(false).load().unwrap_err();
    assert!(matches!(error, TlsConfigError::HostnameUnverified));
    assert!(!error.is_identity());
}

#[test]
fn keys_are_not_shown() {
    let own = client_certificate();
    let tls = Tls::new()
        .ca_file("ca.pem")
        .certificate_pem(own.chain(), own.key());
    let shown = format!("{tls:?}");
    assert!(
        !shown.contains("PRIVATE") && shown.contains("ca.pem"),
        "{shown}"
    );
}
