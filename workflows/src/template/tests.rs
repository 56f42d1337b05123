//! What a template says, and what none may say.

use super::*;

const NAME: &str = "acknowledgement";

fn acknowledgement(policy: &Policy, language: Option<&str>, customer: Option<&str>) -> String {
    let name = customer.and_then(presentable);
    say(policy, language, NAME, |_| name.clone())
}

fn said(words: &str, customer: Option<&str>) -> String {
    let template = Template::parse(NAME, words).unwrap();
    template.render(|_| customer.map(str::to_owned))
}

#[test]
fn a_name_stands_in_its_place() {
    assert_eq!(said("Thank you, {customer}.", Some("Ada")), "Thank you, Ada.");
    assert_eq!(said("{{{customer}}} said }}", Some("Ada")), "{Ada} said }");
}

#[test]
fn a_missing_name_leaves_no_hole() {
    assert_eq!(said("Thank you, {customer}. We have it.", None), "Thank you. We have it.");
    assert_eq!(said("Bonjour {customer} !", None), "Bonjour !");
    assert_eq!(said("{customer}, thank you.", None), "Thank you.");
    assert_eq!(said("{customer}", None), "");
}

#[test]
fn mistakes_name_the_template_what_is_wrong_and_what_is_allowed() {
    let told = |name: &str, words: &str| Template::parse(name, words).unwrap_err().to_string();
    assert_eq!(
        told(NAME, "Dear {custmer}"),
        "template \"acknowledgement\" has no variable {custmer}; allowed: {customer}"
    );
    let unknown = told("hello", "x");
    assert!(
        unknown.starts_with("there is no template \"hello\"; there are acknowledgement, waiting, "),
        "{unknown}"
    );
    assert!(names().iter().all(|name| unknown.contains(name)), "{unknown}");
    assert_eq!(told(NAME, " "), "template \"acknowledgement\" is empty");
    let stray = "template \"acknowledgement\" has a stray '{' at character 4; write it twice to mean itself";
    assert_eq!(told(NAME, "Für{customer"), stray);
    assert!(told(NAME, "a } b").contains("stray '}' at character 3"));
}

#[test]
fn the_nearest_language_speaks() {
    let mut policy = Policy::default();
    for (language, words) in [("de", "Danke, {customer}."), ("pt-BR", "Obrigado, {customer}.")] {
        let words = [(NAME.to_owned(), words.to_owned())].into_iter().collect();
        policy.templates.insert(language.to_owned(), words);
    }
    let said = |language| acknowledgement(&policy, language, Some("Ada"));
    assert_eq!(said(Some("de-AT")), "Danke, Ada.");
    assert_eq!(said(Some("PT-br")), "Obrigado, Ada.");
    assert!(said(Some("fr")).starts_with("Thank you, Ada."));
    assert!(said(None).starts_with("Thank you, Ada."));
}

#[test]
fn a_policy_without_words_still_speaks() {
    let mut policy = Policy { templates: std::collections::BTreeMap::new(), ..Policy::default() };
    assert_eq!(policy.check(), Ok(()));
    assert!(acknowledgement(&policy, None, None).starts_with("Thank you. We have"));
    let broken = [(NAME.to_owned(), "Dear {nobody}".to_owned())].into_iter().collect();
    policy.templates.insert("en".to_owned(), broken);
    assert!(acknowledgement(&policy, None, None).starts_with("Thank you. We have"));
}

#[test]
fn a_name_cannot_carry_an_advertisement_into_our_words() {
    for name in ["Buy at https://spam.example", "www.spam.example", "x@spam.example", "\n\t"] {
        assert!(acknowledgement(&Policy::default(), None, Some(name)).starts_with("Thank you. "), "{name}");
    }
    let long = acknowledgement(&Policy::default(), None, Some(&"x".repeat(500)));
    assert!(long.contains(&"x".repeat(80)) && !long.contains(&"x".repeat(81)));
}

#[test]
fn a_policy_tells_all_its_mistakes_with_their_paths() {
    let mut policy = Policy { name: " ".to_owned(), language: "english".to_owned(), ..Policy::default() };
    let words = [(NAME.to_owned(), "{".to_owned()), ("bye".to_owned(), "x".to_owned())];
    policy.templates.insert("en".to_owned(), words.into_iter().collect());
    let paths: Vec<_> = policy.check().unwrap_err().into_iter().map(|error| error.path).collect();
    assert_eq!(paths, ["name", "customers.language", "templates.en.acknowledgement", "templates.en.bye"]);
    assert_eq!(Policy::default().check(), Ok(()));
}
