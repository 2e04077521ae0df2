// The SQL of the scripted server: a text cut into statements and tokens, and the settings of one session
// with PostgreSQL's transactional rules. For tests; knows only the statements that scenarios use.
#pragma once

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::testing {

/// An ErrorResponse in the making.
struct sql_error : std::runtime_error {
    sql_error(std::string code, const std::string& message, std::string how_bad = "ERROR")
        : std::runtime_error(message), sqlstate(std::move(code)), severity(std::move(how_bad)) {}
    std::string sqlstate;
    std::string severity;
};

/// One statement as tokens: words in lower case, 'literals' and "identifiers" without their quotes, the rest as it is.
struct sql_statement {
    struct token {
        enum class kind : std::uint8_t { word, literal, identifier, number, other } what;
        std::string text;
    };
    std::vector<token> tokens;
    std::string text;

    [[nodiscard]] bool is(std::size_t at, std::string_view word) const {
        return at < tokens.size() && tokens[at].what != token::kind::literal && tokens[at].text == word;
    }
    [[nodiscard]] const std::string& at(std::size_t index) const;  ///< throws a syntax error if there is none
    [[nodiscard]] std::size_t size() const { return tokens.size(); }
    [[nodiscard]] std::size_t parameters() const;  ///< the highest $n
};

/// The statements of a text, empty ones left out.
[[nodiscard]] std::vector<sql_statement> split_sql(std::string_view sql);

/// The product's question for the open transaction's number, in words that this SQL has: capture_xid(), capture_new_xid()
/// and capture_marker(). Any other text stays as it is.
[[nodiscard]] std::string_view modelled(std::string_view sql);

/// Settings of one session. Copies are snapshots.
class server_settings {
public:
    /// `startup`: what the StartupMessage asked for; RESET goes back to it.
    explicit server_settings(const std::vector<std::pair<std::string, std::string>>& startup = {});

    void set(const std::string& name, const std::string& value, bool local);
    void reset(const std::string& name);
    void reset_all();
    void end_transaction() { local_.clear(); }

    /// The value in force; nothing if the name is unknown.
    [[nodiscard]] std::optional<std::string> find(const std::string& name) const;
    /// The same; an unknown name is PostgreSQL's error.
    [[nodiscard]] std::string get(const std::string& name) const;
    /// Everything that is announced with ParameterStatus, under its announced name.
    [[nodiscard]] std::map<std::string, std::string> reported() const;

private:
    [[nodiscard]] std::string accepted(const std::string& name, const std::string& value) const;

    std::map<std::string, std::string> defaults_;
    std::map<std::string, std::string> session_;
    std::map<std::string, std::string> local_;
};

}  // namespace pgsteady::testing
