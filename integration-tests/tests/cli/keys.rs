use std::os::unix::fs::PermissionsExt;

use crate::support::alone;

#[tokio::test]
async fn keys_are_made_once_and_their_thumbprints_agree() {
    let own = tempfile::tempdir().unwrap();
    let folder = own.path().display().to_string();
    let made = alone(&["keys", "generate", &folder]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(made.out.trim().len(), 43);
    for file in ["privkey.pem", "pubkey.pem"] {
        let path = format!("{folder}/{file}");
        assert_eq!(alone(&["keys", "thumbprint", &path]).await.out, made.out);
    }
    let said = alone(&[
        "--json",
        "keys",
        "thumbprint",
        &format!("{folder}/pubkey.pem"),
    ])
    .await;
    assert_eq!(said.json()[0]["thumbprint"], made.out.trim());
    let private = own.path().join("privkey.pem").metadata().unwrap();
    assert_eq!(private.permissions().mode() & 0o777, 0o600);
    alone(&["keys", "generate", &folder])
        .await
        .one_line_error("exists already");
    alone(&["keys", "thumbprint", "/etc/hostname"])
        .await
        .one_line_error("is no RSA key");
}
