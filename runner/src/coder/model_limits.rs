//! The limits of a model, and the limits of a session that follow from them.
//!
//! **Architecture invariant:** pure.

use serde_json::Value;

/// The most tokens of an answer, where the model allows as many.
const MOST_OUTPUT: u64 = 8_000;
/// The bytes that count as a token. Code has three to four, so that there is room left.
const BYTES_OF_A_TOKEN: u64 = 3;

/// The limits of a model from the gateway's list, each if it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelLimits {
    context_window: Option<u64>,
    max_output_tokens: Option<u64>,
}

impl ModelLimits {
    /// Reads them from a model of the list.
    pub(super) fn read(listed: &Value) -> Self {
        let number = |name: &str| listed[name].as_u64().filter(|number| *number > 0);
        Self { context_window: number("contextWindow"), max_output_tokens: number("maxOutputTokens") }
    }

    /// Returns the most tokens that an answer may have.
    pub(super) fn max_output_tokens(self) -> u64 {
        // An answer that may fill the window would leave no room for the question.
        let half = self.context_window.map(|window| (window / 2).max(1));
        [self.max_output_tokens, half].into_iter().flatten().fold(MOST_OUTPUT, u64::min)
    }

    /// Returns the most bytes of conversation that are sent.
    ///
    /// - **Shape:** `usual` is the bound without a window; `fixed` is what goes with each call besides.
    pub(super) fn context_bytes(self, usual: usize, fixed: usize) -> usize {
        let Some(window) = self.context_window else { return usual };
        let bytes = window.saturating_sub(self.max_output_tokens()).saturating_mul(BYTES_OF_A_TOKEN);
        usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(fixed).min(usual)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limits(window: u64, output: u64) -> ModelLimits {
        ModelLimits::read(&json!({"id": "m", "contextWindow": window, "maxOutputTokens": output}))
    }

    #[test]
    fn an_answer_and_a_conversation_fit_the_model() {
        assert_eq!(limits(200_000, 64_000).max_output_tokens(), 8_000, "as usual");
        assert_eq!(limits(200_000, 64_000).context_bytes(240_000, 3_000), 240_000, "as usual");
        assert_eq!(limits(32_000, 4_096).max_output_tokens(), 4_096);
        assert_eq!(limits(32_000, 4_096).context_bytes(240_000, 3_000), (32_000 - 4_096) * 3 - 3_000);
        assert_eq!(limits(8_192, 8_192).max_output_tokens(), 4_096, "a question has room, too");
        assert_eq!(limits(1_000, 8_192).context_bytes(240_000, 3_000), 0);
    }

    #[test]
    fn what_is_not_known_is_as_usual() {
        for listed in [json!({"id": "m"}), json!({"contextWindow": -1, "maxOutputTokens": "many"}), json!(null)] {
            let limits = ModelLimits::read(&listed);
            assert_eq!((limits.max_output_tokens(), limits.context_bytes(240_000, 3_000)), (8_000, 240_000));
        }
    }
}
