//! Targets that are several nodes: what they mean, how they are written, what is said of nonsense.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use gorgone_protocol::request::nodes::{NodeDefinition, decode_register};
use gorgone_protocol::{Data, Labels, NodeId, Selection, Target};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::parse(pairs.iter().copied()).unwrap()
}

/// The numbers of these nodes that a selector lets through.
fn selected(selector: &str) -> Vec<usize> {
    let nodes = [
        labels(&[("site", "paris"), ("role", "db")]),
        labels(&[
            ("site", "paris"),
            ("role", "web"),
            ("example.com/rack", "12"),
        ]),
        labels(&[("site", "lyon"), ("spare", "")]),
        labels(&[]),
    ];
    let Ok(Selection::Labels(requirements)) = Selection::parse(selector) else {
        panic!("{selector} is no selector");
    };
    let met = |labels: &Labels| requirements.iter().all(|one| one.is_met_by(labels));
    (0..nodes.len())
        .filter(|index| met(&nodes[*index]))
        .collect()
}

#[test]
fn selectors_mean_what_they_mean_in_kubernetes() {
    for (selector, nodes) in [
        ("site=paris", vec![0, 1]),
        ("site == paris , role!=db", vec![1]),
        ("role!=db", vec![1, 2, 3]),
        ("site in (paris, lyon)", vec![0, 1, 2]),
        ("site in(lyon)", vec![2]),
        ("site notin (paris,rome)", vec![2, 3]),
        ("site", vec![0, 1, 2]),
        ("!site", vec![3]),
        ("site,!role", vec![2]),
        ("spare=", vec![2]),
        ("example.com/rack=12", vec![1]),
        ("in=a", vec![]),
    ] {
        assert_eq!(selected(selector), nodes, "{selector}");
    }
}

#[test]
fn a_selection_is_written_without_white_space_and_read_back_the_same() {
    for (written, wire) in [
        ("*", "*"),
        (" all ", "*"),
        ("4, 7 ,10 - 20", "4,7,10-20"),
        ("4-4", "4-4"),
        (" site = paris , role != db", "site=paris,role!=db"),
        ("env in (a, b),x notin (c)", "env=(a,b),x!=c"),
        ("env=(a,b)", "env=(a,b)"),
        ("! site,rack", "!site,rack"),
        ("spare=", "spare="),
    ] {
        let target = Target::parse(written);
        assert!(matches!(target, Target::Many(_)), "{written}");
        assert_eq!(target.to_string(), wire);
        assert_eq!(Target::parse(wire), target);
    }
    assert_eq!(Target::parse("4"), Target::Node(NodeId::new(4)));
}

#[test]
fn nonsense_is_told_with_its_place_and_how_to_mend_it() {
    for (text, told) in [
        ("4,,7", "character 3: there is nothing beside the comma"),
        ("4,7,", "character 5: there is nothing beside the comma"),
        (
            "20-10",
            "character 1: the range '20-10' ends before it begins; write the smaller",
        ),
        (
            "4,site=paris",
            "character 3: 'site=paris' cannot stand beside",
        ),
        ("site=paris,4", "character 12: '4' cannot stand beside"),
        (
            "4,*",
            "character 3: '*' selects every node and must stand alone",
        ),
        (
            "99999999999999999999",
            "character 1: '99999999999999999999' is too large",
        ),
        (
            "site=pa ris",
            "character 6: 'pa ris' is no value of a label",
        ),
        (
            "site~paris",
            "character 1: 'site~paris' is no key of a label",
        ),
        (
            "site paris",
            "character 6: 'paris' compares nothing; write =, !=, in (…) or notin (…)",
        ),
        (
            "site in paris",
            "character 9: behind 'in' come values in parentheses, such as in (a,b)",
        ),
        (
            "site in (paris",
            "character 9: the parenthesis '(' has no other half",
        ),
        (
            "site in paris)",
            "character 14: the parenthesis ')' has no other half",
        ),
        (
            "site in (a) b",
            "character 13: 'b' stands behind the parenthesis",
        ),
        ("site=é=b", "character 6: 'é=b' is no value of a label"),
        ("é=b,c", "character 1: 'é' is no key of a label"),
        ("-5", "character 1: '-5' is no key of a label"),
        ("all=1", "character 1: 'all' cannot be the key of a label"),
    ] {
        let error = Selection::parse(text).unwrap_err().to_string();
        let whole =
            format!("'{text}' is neither the id of a node nor a selection of nodes: {told}");
        assert!(error.starts_with(&whole), "{error}\n{whole}");
        assert_eq!(Target::parse(text), Target::Unreadable(text.to_owned()));
    }
    let long = "4,".repeat(100_000);
    let error = Selection::parse(&long).unwrap_err().to_string();
    assert!(
        error.contains("goes on for more than 4096 bytes"),
        "{error}"
    );
    assert!(error.len() < 500, "{error}");
}

#[test]
fn ids_are_listed_so_that_the_list_selects_them() {
    let ids = |ids: &[u64]| Selection::list(ids.iter().map(|id| NodeId::new(*id)));
    assert_eq!(ids(&[]), "");
    assert_eq!(ids(&[4]), "4");
    assert_eq!(ids(&[4, 5, 7, 8, 9, 20]), "4,5,7-9,20");
}

#[test]
fn nodes_and_the_nodes_behind_them_have_labels() {
    let body = r#"{"nodes":[{"id":4,"type":"pull","labels":{"site":"paris","rack":12,"spare":true},
        "nodes":[20,{"id":21,"labels":{"site":"lyon"}}]}]}"#;
    let nodes = decode_register(&Data::parse(body).unwrap()).unwrap();
    assert_eq!(
        nodes[0].labels,
        labels(&[("site", "paris"), ("rack", "12"), ("spare", "true")])
    );
    assert!(nodes[0].nodes[0].labels.is_empty());
    assert_eq!(nodes[0].nodes[1].labels, labels(&[("site", "lyon")]));
    let again: NodeDefinition =
        serde_json::from_str(&serde_json::to_string(&nodes[0]).unwrap()).unwrap();
    assert_eq!(again, nodes[0]);
    for (wrong, told) in [
        (r#"{"4":"x"}"#, "'4' cannot be the key of a label"),
        (r#"{"a b":"x"}"#, "'a b' is no key of a label"),
        (r#"{"a":"x y"}"#, "'x y' is no value of a label"),
        (r#"{"a":{}}"#, "the value of a label is a text"),
        (r#"["a"]"#, "labels, such as"),
    ] {
        let body = format!(r#"{{"nodes":[{{"id":4,"type":"pull","labels":{wrong}}}]}}"#);
        let error = decode_register(&Data::parse(&body).unwrap()).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}
