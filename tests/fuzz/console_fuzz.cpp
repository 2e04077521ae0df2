// The console's tokenizer and its side of the protocol: any bytes, split anywhere, give the same messages, and no text makes
// more commands than are allowed.
#include "proxy/console/conversation.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace pgsteady;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

struct outcome {
    std::string out;
    bool closed = false;
};

/// Every second command fails, so that the rest of its text is dropped.
outcome play(std::string_view in, std::uint32_t seed, bool in_pieces) {
    console_conversation talk;
    outcome made;
    std::string held;
    std::size_t answered = 0;
    while (!made.closed && !in.empty()) {
        seed = seed * 1664525U + 1013904223U;
        const std::string_view piece = in.substr(0, in_pieces ? 1 + (seed >> 28) : in.size());
        held += piece;
        in.remove_prefix(piece.size());
        while (true) {
            std::size_t used = 0;
            const console_conversation::step next = talk.feed(held, used, made.out);
            require(used <= held.size());
            held.erase(0, used);
            if (next == console_conversation::step::need_more) break;
            if (next == console_conversation::step::close) {
                made.closed = true;
                break;
            }
            made.out += describe(talk.due());
            console_answer answer;
            if (++answered % 2 == 0) answer.error = plain_error("42601", "no");
            talk.answer(answer, made.out);
        }
    }
    return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view in(reinterpret_cast<const char*>(data), size);
    const console_script script = parse_console_text(in);
    require(script.commands.size() <= console_commands_max);
    require(!script.error || script.commands.empty());

    const outcome whole = play(in, 0, false);
    const outcome pieces = play(in, static_cast<std::uint32_t>(size), true);
    require(whole.out == pieces.out && whole.closed == pieces.closed);
    return 0;
}
