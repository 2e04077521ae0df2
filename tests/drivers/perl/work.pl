# DBD::Pg at work for pools.py: reads and writes in turn until told to stop. Where to connect comes from the PG variables.
use strict;
use warnings;

use DBI;
use IO::Select;
use JSON::PP;

my %seen = (successes => [0, 0], broken => [], map { $_ => { done => 0, errors => {} } } qw(reads writes));
my ($reader, $writer) = map { DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 }) } 1 .. 2;

sub attempt {
    my ($kind, $worker, $work) = @_;
    if (eval { $work->(); 1 }) {
        $seen{$kind}{done}++;
        $seen{successes}[$worker]++;
        return;
    }
    $seen{$kind}{errors}{$DBI::state || $@}++;
    eval { $writer->rollback unless $writer->{AutoCommit} };
}

$| = 1;
my $orders = IO::Select->new(\*STDIN);
for (my $sequence = 1;; $sequence++) {
    attempt('reads', 0, sub {
        my $text = join '', map { @$_ } @{ $reader->selectall_arrayref('select id, name from items where id <= ? order by id', undef, 3) };
        push @{ $seen{broken} }, $text if $text ne '1one2two3three';
    });
    attempt('writes', 1, sub {
        $writer->begin_work;
        $writer->do('insert into pool_log values (?, ?, ?)', undef, 'perl', $sequence, $_) for 1 .. 2;
        $writer->commit;
    });
    next unless $orders->can_read(0.005);
    sysread STDIN, my $order, 100 or last;
    print encode_json(\%seen), "\n";
    last if $order =~ /stop/;
}
