// Does this text only read? statement_class says so by form; this asks the catalogue for what the form cannot say (D20):
// volatile functions and operators, views, foreign tables, row security, casts. Pure: it writes the questions and judges
// the answers; who asks them, and when, is its owner's business; what is remembered of them is catalogue_facts'.
// It must never say "proven" for what was not shown: whatever is missing, odd, too much or too deep is refuted.
#pragma once

#include "proxy/sql/catalogue_facts.hpp"
#include "proxy/sql/statement_class.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

class read_proof {
public:
    enum class verdict : std::uint8_t {
        proven,   ///< running it twice, or on a standby, changes nothing
        refuted,  ///< not shown to read only: treat as a write
        ask,      ///< send query(), then answer() or failed()
    };

    using row = std::vector<std::optional<std::string>>;  ///< values as text; nothing for NULL

    /// `text` need not outlive the constructor. `known` must: what was asked before of this host is not asked again, and
    /// what it answers is remembered there; null: everything is asked.
    explicit read_proof(const statement_class& text, catalogue_facts* known = nullptr, std::size_t host = 0);

    [[nodiscard]] verdict now() const { return now_; }

    /// Why it is refuted, in a few words for the log; empty otherwise. Quotes at most one name of the text.
    [[nodiscard]] const std::string& reason() const { return reason_; }

    /// The SQL to ask now: one statement with one result of four columns, in ASCII, at most max_query_bytes long. It only
    /// reads pg_catalog, works on PostgreSQL 12 and later, under any search_path, and as any role.
    /// Ask it where the text would run, under the client's own client_encoding: names are meant in that encoding.
    /// Empty unless now() is ask.
    [[nodiscard]] std::string query() const;

    /// The rows that came back for query(). Views may lead to another question, at most max_rounds in all.
    void answer(const std::vector<row>& rows);
    /// The question could not be asked, or ended in an error.
    void failed();

    static constexpr std::size_t max_rounds = 9;        ///< the text itself, and views below views eight deep
    static constexpr std::size_t max_names = 512;       ///< functions, operators, relations and attributes, all rounds
    static constexpr std::size_t max_name_bytes = 255;  ///< of one name; PostgreSQL cuts at 63
    static constexpr std::size_t max_definition = 64U * 1024U;    ///< bytes of one view's definition
    static constexpr std::size_t max_definitions = 512U * 1024U;  ///< bytes of all
    static constexpr std::size_t max_domain_checks = 256;         ///< in the whole database
    static constexpr std::size_t max_query_bytes = 512U * 1024U;

private:
    /// What one round asks. The position of a name is its number in the answer.
    struct question {
        [[nodiscard]] bool empty() const {
            return functions.empty() && operators.empty() && relations.empty() && harmless.empty() &&
                   attributes.empty();
        }
        std::vector<sql_name> functions;
        std::vector<sql_name> operators;
        std::vector<sql_name> relations;
        std::vector<sql_name> harmless;
        std::vector<sql_name> attributes;
    };
    struct tally;

    void refute(std::string why);
    void absorb(const statement_class& text);
    void add(catalogue_facts::part of, const std::vector<sql_name>& names, std::set<sql_name>& seen,
             std::vector<sql_name>& to);
    [[nodiscard]] bool is_known(catalogue_facts::part of, const sql_name& name);
    bool apply(catalogue_facts::part of, const sql_name& name, const catalogue_facts::row& fact);
    void ask_next();
    void learn(const std::vector<row>& rows);
    bool judge(const row& each, tally& answered);
    bool judge_relation(const sql_name& name, std::string_view kind, const std::optional<std::string>& definition);
    bool judge_definition(std::string_view prefix, const std::optional<std::string>& sql);
    bool judge_encoding();

    catalogue_facts* facts_ = nullptr;
    std::size_t host_ = 0;
    std::uint64_t version_ = 0;  // of the schema when the question was put
    bool asks_unnamed_ = true;   // what the text may run without naming it
    verdict now_ = verdict::ask;
    std::string reason_;
    question asked_;
    question next_;
    std::size_t rounds_ = 0;
    std::size_t names_ = 0;
    std::size_t definition_bytes_ = 0;
    bool whole_ascii_ = true;  // all texts seen so far
    bool names_ascii_ = true;  // all names in them
    bool encoding_known_ = false;
    std::string client_encoding_;
    std::string server_encoding_;
    std::set<sql_name> functions_;  // all that were asked for; none twice
    std::set<sql_name> operators_;
    std::set<sql_name> relations_;
    std::set<sql_name> harmless_;
    std::set<sql_name> attributes_;
};

}  // namespace pgsteady
