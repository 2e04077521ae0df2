// See commit_proof.hpp.
#include "proxy/session/commit_proof.hpp"

#include "proxy/sql/read_proof.hpp"
#include "proxy/sql/transaction_text.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace pgsteady {

namespace {

using step = transaction_text::step;

// What a text may do besides running its own statements: then nothing is shown by their form.
constexpr token_hits hides = token_hit::execute | token_hit::do_block | token_hit::call | token_hit::load |
                             token_hit::unicode_quoted | token_hit::ambiguous;
// Names that would mean another text from then on: the journal's texts are found by name.
constexpr token_hits renames = token_hit::deallocate | token_hit::discard;
// What takes effect at COMMIT although PostgreSQL admits it under READ ONLY (measured).
constexpr token_hits escapes_read_only = token_hit::notify | token_hit::large_object | token_hit::listen |
                                         token_hit::unlisten | token_hit::advisory | token_hit::temp | token_hit::hold;
constexpr std::array<std::string_view, 2> escaping_functions = {"pg_notify", "pg_logical_emit_message"};
// Of what classify_statements() calls the session's state, only settings are nothing that a COMMIT makes last elsewhere.
constexpr token_hits other_state = token_hit::prepare | token_hit::listen | token_hit::unlisten | token_hit::declare |
                                   token_hit::notify | token_hit::set_config | token_hit::advisory | token_hit::temp |
                                   token_hit::hold | token_hit::large_object | token_hit::session_function;

/// SET transaction_isolation, SET LOCAL transaction_read_only and the like: SET TRANSACTION itself has been read.
bool sets_characteristics(std::string_view text, token_hits hits) {
    return hits.has(token_hit::set | token_hit::reset | token_hit::set_config) && mentions(text, "transaction");
}

void append(std::vector<sql_name>& to, const std::vector<sql_name>& names) {
    to.insert(to.end(), names.begin(), names.end());
}

/// One text more; the names may stand in it twice.
void merge(statement_class& all, const statement_class& one) {
    append(all.functions, one.functions);
    append(all.operators, one.operators);
    append(all.relations, one.relations);
    append(all.harmless, one.harmless);
    append(all.attributes, one.attributes);
    all.names_types |= one.names_types;
    all.ascii &= one.ascii;
}

class judge {
public:
    explicit judge(const commit_facts& facts) : facts_(facts), server_forbids_(facts.trusts_functions) {
        reads_.parsed = true;
        reads_.kind = statement_kind::reads;
    }

    commit_judgement all(const std::vector<std::string>& texts) {
        std::set<std::string_view> seen;
        std::size_t bytes = 0;
        for (const std::string& text : texts) {
            if (!seen.insert(text).second) continue;
            bytes += text.size();
            if (seen.size() > max_journal_texts || bytes > max_journal_text_bytes) return {};
            read(text);
            if (hidden_) return {};
        }
        if (!begun_ || (serializable_ && read_anything_)) return {};
        if (server_forbids_) return {commit_evidence::read_only, {}};
        if (!only_reads_) return {};
        if (read_proof(reads_).now() == read_proof::verdict::proven) return {commit_evidence::read_only, {}};
        return {commit_evidence::ask, std::move(reads_)};
    }

private:
    void read(std::string_view text) {
        const token_hits hits = scan_tokens(text);
        const transaction_text said = read_transaction_text(text);
        if (said.what != step::none) return on_step(said);
        // A step among other statements, or to a savepoint, is more than can be followed.
        hidden_ = hits.has(renames | hides | token_hit::transaction) || sets_characteristics(text, hits);
        if (hidden_) return;
        if (hits.has(escapes_read_only)) server_forbids_ = false;
        for (const std::string_view name : escaping_functions)
            if (mentions(text, name)) server_forbids_ = false;
        classify(text, hits);
    }

    void on_step(const transaction_text& said) {
        using access = transaction_text::access;
        using isolation = transaction_text::isolation;
        const bool begins = said.what == step::begin;
        if (!begins && said.what != step::characteristics) return;
        begun_ |= begins;
        if (said.says == access::read_write || (begins && said.says == access::unsaid && !facts_.read_only_default))
            server_forbids_ = false;
        if (said.level == isolation::serializable ||
            (begins && said.level == isolation::unsaid && facts_.serializable_default))
            serializable_ = true;
    }

    void classify(std::string_view text, token_hits hits) {
        if (!only_reads_ && !server_forbids_) return;
        const statement_class seen = classify_statements(text, hits);
        const bool one_savepoint =
            seen.parsed && seen.kind == statement_kind::transaction_control && seen.statements.size() == 1;
        if (one_savepoint) return;
        const bool any_read =
            std::find(seen.statements.begin(), seen.statements.end(), statement_kind::reads) != seen.statements.end();
        if (any_read || !seen.parsed || seen.kind > statement_kind::session_state) read_anything_ = true;
        const bool reads = seen.parsed && seen.kind <= statement_kind::session_state && !seen.denied_function &&
                           !seen.locks_rows && !seen.uses_cursor &&
                           (seen.kind == statement_kind::reads || !hits.has(other_state));
        only_reads_ = only_reads_ && reads;
        if (only_reads_) merge(reads_, seen);
    }

    const commit_facts& facts_;
    bool begun_ = false;
    bool hidden_ = false;     // something in it is not known at all
    bool server_forbids_;     // it was READ ONLY all the time, and nothing was said that escapes that
    bool only_reads_ = true;  // by form
    bool read_anything_ = false;
    bool serializable_ = false;
    statement_class reads_;
};

}  // namespace

commit_judgement judge_transaction(const std::vector<std::string>& texts, const commit_facts& facts) {
    return judge(facts).all(texts);
}

bool may_be_serializable(std::string_view value) {
    for (const std::string_view weaker : {"read committed", "repeatable read", "read uncommitted"})
        if (value == weaker) return false;
    return true;
}

}  // namespace pgsteady
