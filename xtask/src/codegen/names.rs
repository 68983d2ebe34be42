//! Kafka's spelling to Rust's.

/// `TimeoutMs` to `timeout_ms`.
pub(super) fn snake(name: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        let after_lower = i > 0 && !chars[i - 1].is_ascii_uppercase();
        let before_lower = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && i > 0 && (after_lower || before_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A field's name, escaped where it is a keyword of Rust.
pub(super) fn field(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "type", "match", "ref", "move", "enum", "struct", "use", "where", "async", "loop", "in",
    ];
    let name = snake(name);
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// `NOT_LEADER_OR_FOLLOWER` to `NotLeaderOrFollower`.
pub(super) fn pascal(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_uppercase() + &rest.to_lowercase()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case() {
        assert_eq!(snake("TimeoutMs"), "timeout_ms");
        assert_eq!(snake("TopicId"), "topic_id");
        assert_eq!(snake("ISR"), "isr");
        assert_eq!(snake("SubscribedTopicIDs"), "subscribed_topic_i_ds");
        assert_eq!(field("Type"), "r#type");
        assert_eq!(pascal("NOT_LEADER_OR_FOLLOWER"), "NotLeaderOrFollower");
    }
}
