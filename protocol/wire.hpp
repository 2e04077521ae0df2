// Reading and writing the primitive fields of the PostgreSQL protocol: big-endian integers,
// NUL-terminated strings, counted bytes. Every read is bounds-checked (P8); a failed read is sticky,
// so a parser may read a whole message and ask ok() once. Must never allocate while reading:
// what it returns are views into the caller's bytes. Owned by whoever parses, on the stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

/// Cursor over one message body. The bytes belong to the caller and must outlive the views handed out.
class wire_reader {
public:
    explicit wire_reader(std::string_view in) noexcept : in_(in) {}

    [[nodiscard]] std::optional<std::uint8_t> u8() noexcept;
    [[nodiscard]] std::optional<std::uint16_t> u16() noexcept;
    [[nodiscard]] std::optional<std::int16_t> i16() noexcept;
    [[nodiscard]] std::optional<std::uint32_t> u32() noexcept;
    [[nodiscard]] std::optional<std::int32_t> i32() noexcept;

    /// Bytes up to the next NUL, which is skipped and not returned. Fails when there is no NUL.
    [[nodiscard]] std::optional<std::string_view> cstring() noexcept;

    /// Exactly `count` bytes; fails when fewer are left.
    [[nodiscard]] std::optional<std::string_view> bytes(std::size_t count) noexcept;

    /// Everything not yet read (empty after a failure); nothing is left afterwards.
    [[nodiscard]] std::string_view rest() noexcept;

    [[nodiscard]] std::size_t remaining() const noexcept { return in_.size(); }

    /// No read has failed so far.
    [[nodiscard]] bool ok() const noexcept { return ok_; }

    /// No read has failed and nothing is left: the body had exactly the expected form.
    [[nodiscard]] bool at_end() const noexcept { return ok_ && in_.empty(); }

private:
    [[nodiscard]] std::optional<std::uint32_t> big_endian(std::size_t width) noexcept;

    std::string_view in_;
    bool ok_ = true;
};

void put_u8(std::string& out, std::uint8_t value);
void put_i16(std::string& out, std::int16_t value);
void put_u16(std::string& out, std::uint16_t value);
void put_i32(std::string& out, std::int32_t value);
void put_u32(std::string& out, std::uint32_t value);

/// Appends `text` and a NUL. Text after an embedded NUL is dropped: it could otherwise forge fields.
void put_cstring(std::string& out, std::string_view text);

/// A Query message with `sql`, and its bytes appended to `out`.
[[nodiscard]] std::string query_frame(std::string_view sql);
void put_query(std::string& out, std::string_view sql);

/// Writes a message's type and a length placeholder; the destructor fills the length in.
/// `out` must outlive the builder and be appended to only through it or by put_* meanwhile.
class frame_builder {
public:
    /// A regular message: type byte, length, body.
    frame_builder(std::string& out, char type);
    /// A message without type byte, as at startup: length, body.
    explicit frame_builder(std::string& out);
    ~frame_builder();

    frame_builder(const frame_builder&) = delete;
    frame_builder& operator=(const frame_builder&) = delete;

private:
    std::string& out_;
    std::size_t length_at_;
};

}  // namespace pgsteady
