// See chain_opening.hpp.
#include "proxy/session/chain_opening.hpp"

#include "protocol/token_scan.hpp"

#include "proxy/sql/transaction_text.hpp"

namespace pgsteady {

namespace {

using step = transaction_text::step;

// What may set characteristics, or their defaults, by other words than SET TRANSACTION.
constexpr token_hits may_set = token_hit::set | token_hit::reset | token_hit::set_config | token_hit::do_block |
                               token_hit::call | token_hit::execute | token_hit::ambiguous | token_hit::unicode_quoted;

bool holds_several(std::string_view text) {
    token_scanner statements;
    statements.feed(text);
    (void)statements.finish();
    return statements.statement_count() > 1;
}

class follower {
public:
    explicit follower(bool failed) : changes_count_(!failed) {}

    /// False: from here on nothing is known.
    bool take(std::string_view text) {
        const token_hits hits = scan_tokens(text);
        const transaction_text said = read_transaction_text(text);
        if (!begun_) return said.what == step::begin && take_modes(said.last);
        // In a savepoint they are those of its part alone, and which of them COMMIT takes depends on the version.
        if (said.what == step::characteristics) return changes_count_ && take_modes(said.last);
        if (said.what != step::none) return false;
        if (hits.has(transaction_mask)) {
            changes_count_ = false;
            return !holds_several(text);
        }
        return !hits.has(may_set) || !mentions(text, "transaction");
    }

    [[nodiscard]] std::string opening() const {
        std::string text = "BEGIN";
        if (!modes_.isolation.empty()) text += " ISOLATION LEVEL " + std::string(modes_.isolation);
        if (modes_.read_only) text += *modes_.read_only ? " READ ONLY" : " READ WRITE";
        if (modes_.deferrable) text += *modes_.deferrable ? " DEFERRABLE" : " NOT DEFERRABLE";
        return text;
    }

private:
    bool take_modes(const transaction_text::modes& said) {
        begun_ = true;
        if (!said.isolation.empty()) modes_.isolation = said.isolation;
        if (said.read_only) modes_.read_only = said.read_only;
        if (said.deferrable) modes_.deferrable = said.deferrable;
        return true;
    }

    transaction_text::modes modes_;
    bool begun_ = false;
    bool changes_count_;  // SET TRANSACTION lasts until the transaction's end
};

}  // namespace

std::optional<std::string> chain_opening(const std::vector<std::string>& texts, bool failed) {
    follower all(failed);
    for (const std::string& text : texts)
        if (!all.take(text)) return std::nullopt;
    return texts.empty() ? std::nullopt : std::optional<std::string>(all.opening());
}

}  // namespace pgsteady
