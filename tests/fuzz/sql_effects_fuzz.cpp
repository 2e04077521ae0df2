// Effects of hostile SQL: no crash, no leak, no stack overflow; and what the parser finds, the scan must have hit.
#include "proxy/sql/statement_class.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace pgsteady;

namespace {

bool changes_session(const statement_effects& effects) {
    return effects.pins != 0 || !effects.settings.empty() || effects.reset_all || effects.discard_all ||
           effects.discard_plans || effects.discard_temp || effects.discard_sequences || effects.deallocate_all ||
           !effects.deallocates.empty() || effects.unlisten_all || !effects.unlistens.empty() || effects.uses_lastval;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view sql(reinterpret_cast<const char*>(data), size);
    const token_hits hits = scan_tokens(sql);
    const statement_effects effects = analyse_effects(sql, hits);
    if (changes_session(effects) && !hits.has(needs_parser_mask)) std::abort();
    if (effects.transaction_control && !hits.has(transaction_mask | token_hit::prepare)) std::abort();

    const statement_class kind = classify_statements(sql);
    if (kind.parsed && kind.statements.size() != effects.statements) std::abort();
    if (kind.parsed != effects.parsed) std::abort();
    return 0;
}
