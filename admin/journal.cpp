#include "admin/journal.hpp"

#include "admin/printable.hpp"

#include <utility>

namespace pgsteady::admin {

const journal_entry& journal::add(journal_entry made) {
    made.id = ++last_;
    made.what = printable(made.what);
    entries_.push_back(std::move(made));
    if (entries_.size() > most) entries_.pop_front();
    return entries_.back();
}

}  // namespace pgsteady::admin
