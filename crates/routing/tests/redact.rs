//! Which secrets are taken out of what is kept.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use gorgone_routing::Redactor;

fn kept(patterns: &[&str], text: &str) -> String {
    let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
    let redactor = Redactor::new(&patterns).unwrap();
    redactor.keep(&text.into(), 200).to_string()
}

#[test]
fn secrets_as_people_write_them_are_masked() {
    let table = [
        r#"{"command":"mysql -u root -pHUNTER2 db"}"#,
        r#"{"command":"mysql --password=HUNTER2 db"}"#,
        r#"{"command":"mysql --password='HUNTER2 HUNTER2' db"}"#,
        r#"{"command":"mysql --password \"HUNTER2 HUNTER2\" db"}"#,
        r#"{"command":"curl --token HUNTER2 http://x"}"#,
        r#"{"command":"PGPASSWORD=HUNTER2 psql"}"#,
        r#"{"command":"curl https://me:HUNTER2@host/x?api_key=HUNTER2&y=1"}"#,
        r#"{"command":"curl -H 'Authorization: Basic HUNTER2=='"}"#,
        r#"{"command":"curl -H \"Authorization: Bearer HUNTER2.HUNTER2\" x"}"#,
        r#"{"command":"sshpass -p HUNTER2 ssh host"}"#,
        r#"{"command":"snmpwalk -v2c -c HUNTER2 host"}"#,
        r#"{"command":"check_snmp -H host -C HUNTER2 -o x -c 5"}"#,
        r#"{"command":"plugin --snmp-community=HUNTER2"}"#,
        r#"{"argv":["x","--password","HUNTER2 \"HUNTER2"]}"#,
        r#"{"password":"HUNTER2\"HUNTER2"}"#,
        r#"{"db_password" : "HUNTER2","n":1}"#,
        r#"{"access_token":12HUNTER2}"#,
        r#"{"command":"echo '{\"password\":\"HUNTER2\"}' | x"}"#,
        "{\"key\":\"-----BEGIN RSA PRIVATE KEY-----\\nHUNTER2\\nHUNTER2\\n-----END RSA PRIVATE KEY-----\"}",
        r#"{"nodes":[{"id":4,"ssh_password":"HUNTER2"}]}"#,
    ];
    for text in table {
        let kept = kept(&[], text);
        assert!(!kept.contains("HUNTER2"), "{kept}");
        assert!(kept.contains("***"), "{kept}");
        assert!(
            kept.ends_with(text.get(text.len() - 1..).unwrap()),
            "{kept}"
        );
    }
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    let table = [
        r#"{"command":"ls -l /tmp && mkdir -p /var/x"}"#,
        r#"{"token":"5f3a"}"#,
        r#"{"command":"[1417705150] ENABLE_PASSIVE_HOST_CHECKS;host1"}"#,
        r#"{"command":"check_http -H host -p 8080 -w 5 -c 10"}"#,
        r#"{"command":"echo passed: 5 tests"}"#,
        "{}",
    ];
    for text in table {
        assert_eq!(kept(&[], text), text);
    }
}

#[test]
fn given_patterns_mask_their_groups_or_all_of_their_match() {
    let text = "pin 1234 pin 5678";
    assert_eq!(kept(&[r"pin (\d+)"], text), "pin *** pin ***");
    assert_eq!(kept(&[r"\d+"], text), "pin *** pin ***");
    assert_eq!(
        kept(&[r"(pin) (?<secret>\d\d)(\d\d)"], text),
        "pin ***34 pin ***78"
    );
    assert_eq!(kept(&[r"pin 1(2)(3)|pin 5678"], text), "pin 1******4 ***");
    assert!(Redactor::new(&["(".to_owned()]).is_err());
}

#[test]
fn long_text_is_cut_after_its_secrets_are_masked() {
    let text = format!(
        r#"{{"é":"{}","password":"{}"}}"#,
        "é".repeat(80),
        "HUNTER2".repeat(60)
    );
    let kept = kept(&[], &text);
    assert!(!kept.contains("HUNTER"), "{kept}");
    let long = "é".repeat(50_000);
    let redactor = Redactor::new(&[]).unwrap();
    assert_eq!(&*redactor.keep(&long.into(), 5), "éé…");
}
