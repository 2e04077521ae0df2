# DBD::Pg: one case per run (`perl cases.pl <name>`), connection by the PG variables; exit code 0 is success.
use strict;
use warnings;

use DBI;
use DBD::Pg qw(:async :pg_types);
use Test::More;

my $CLIENTS = 20;

sub client {
    return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1, @_ });
}

sub fails {
    my ($state, $work) = @_;
    my $lived = eval { $work->(); 1 };
    ok(!$lived && $DBI::state eq $state, "$state") or diag($lived ? 'no error' : $DBI::state . ": $@");
}

my %cases = (
    prepared => sub {
        my @clients = map { client() } 1 .. 5;
        my @statements = map { $clients[$_]->prepare("select $_ as who, ?::int + 1 as n") } 0 .. $#clients;
        for my $round (1 .. 5) {
            for my $number (0 .. $#clients) {
                $statements[$number]->execute($round);
                is_deeply($statements[$number]->fetchall_arrayref, [[$number, $round + 1]], "client $number");
            }
        }
        my $named = $clients[0]->prepare('select name from items where id = $1', { pg_prepare_now => 1 });
        like($named->{pg_prepare_name}, qr/^dbdpg_/, 'the server has it');
        $named->execute(2);
        is($named->fetchrow_array, 'two', 'by its name');
        is_deeply($named->{NAME}, ['name'], 'described');
    },

    types => sub {
        my $db = client();
        my $sth = $db->prepare('select ?::bytea, ?::int[], ?::boolean, ?::jsonb, ?::numeric, ?::text');
        my $bytes = join '', map { chr } 0 .. 255;
        $sth->bind_param(1, $bytes, { pg_type => PG_BYTEA });
        $sth->bind_param(2, [1, 2, undef]);
        $sth->bind_param($_->[0], $_->[1]) for [3, 't'], [4, '{"a": [1, null]}'], [5, '1e20'], [6, "\x{e9}\x{20ac}"];
        $sth->execute;
        is_deeply($sth->fetchrow_arrayref,
            [$bytes, [1, 2, undef], 1, '{"a": [1, null]}', '100000000000000000000', "\x{e9}\x{20ac}"], 'they come back');
    },

    transactions => sub {
        my $db = client();
        $db->begin_work;
        $db->do("update items set name = 'undone' where id = 1");
        $db->rollback;
        $db->{AutoCommit} = 0;
        $db->do("update items set name = 'kept' where id = 2");
        $db->pg_savepoint('a');
        fails('22012', sub { $db->do('select 1/0') });
        fails('25P02', sub { $db->do('select 1') });
        $db->pg_rollback_to('a');
        is($db->ping, 3, 'ping sees the transaction');
        $db->commit;
        is_deeply($db->selectcol_arrayref('select name from items where id < 3 order by id'), ['one', 'kept'], 'committed');
        $db->rollback;
        is($db->ping, 1, 'ping sees an idle session');
    },

    errors => sub {
        my $db = client();
        fails('42601', sub { $db->do('selct') });
        fails('23505', sub { $db->do('insert into items values (?)', undef, 1) });
        fails('22P02', sub { $db->selectrow_array('select ?::int', undef, 'x') });
        fails('42P01', sub { $db->selectrow_array('select * from nowhere where id = ?', undef, 1) });
        fails('23505', sub { $db->do('insert into items values (8, null, 1); insert into items values (1)') });
        is($db->selectrow_array('select count(*) from items where id = 8'), 0, 'a string is one transaction');
    },

    copy => sub {
        my $db = client();
        my @lines = map { "$_\tname $_\t\\N\n" } 1000 .. 4999;
        $db->do('copy items from stdin');
        $db->pg_putcopydata($_) for @lines;
        $db->pg_putcopyend;
        $db->do('copy (select * from items where id >= 1000 order by id) to stdout');
        my @found;
        my $line;
        push @found, $line while $db->pg_getcopydata($line) >= 0;
        is_deeply(\@found, \@lines, 'what went in comes out');
        $db->do('copy items from stdin');
        fails('22P02', sub { $db->pg_putcopydata("bad\n"); $db->pg_putcopyend });
        is($db->selectrow_array('select 1'), 1, 'it goes on');
    },

    large_objects => sub {
        my $db = client(AutoCommit => 0);
        my $made = $db->pg_lo_creat($db->{pg_INV_WRITE});
        my $handle = $db->pg_lo_open($made, $db->{pg_INV_WRITE});
        is($db->pg_lo_write($handle, 'x' x 100_000, 100_000), 100_000, 'written');
        $db->commit;
        $handle = $db->pg_lo_open($made, $db->{pg_INV_READ});
        my $data = '';
        is($db->pg_lo_read($handle, $data, 200_000), 100_000, 'read');
        $db->pg_lo_unlink($made);
        $db->commit;
    },

    catalogue => sub {
        my $db = client();
        is(scalar @{ $db->table_info('', 'public', 'items', 'TABLE')->fetchall_arrayref }, 1, 'table_info');
        is_deeply([map { $_->[3] } @{ $db->column_info('', 'public', 'items', '%')->fetchall_arrayref }],
            ['id', 'name', 'price'], 'column_info');
        is_deeply([$db->primary_key('', 'public', 'items')], ['id'], 'primary_key');
    },

    notifications => sub {
        my ($hears, $says) = (client(), client());
        $hears->do('listen perl');
        $says->do("notify perl, 'hello'");
        my $heard;
        my $until = time + 20;
        select(undef, undef, undef, 0.01) until ($heard = $hears->pg_notifies) || time > $until;
        is_deeply([@$heard[0, 2]], ['perl', 'hello'], 'heard');
    },

    cancellation => sub {
        my ($db, $watcher) = (client(), client());
        $db->do('select pg_sleep(60) /* perl */', { pg_async => PG_ASYNC });
        my $seen = "select count(*) from pg_stat_activity where state = 'active' and query like '%60) /* perl%' and pid <> pg_backend_pid()";
        my $until = time + 20;
        select(undef, undef, undef, 0.01) until $watcher->selectrow_array($seen) || time > $until;
        ok($db->pg_cancel, 'cancelled');
        is($db->selectrow_array('select 1'), 1, 'it goes on');
        is($watcher->selectrow_array($seen), 0, 'nothing runs');
    },

    many_connections => sub {
        my @clients = map { client() } 1 .. $CLIENTS;
        for (1 .. 10) {
            $_->do('update counter set n = n + 1', { pg_async => PG_ASYNC }) for @clients;
            is($_->pg_result, 1, 'counted') for @clients;
        }
        is($clients[0]->selectrow_array('select n from counter'), $CLIENTS * 10, 'all of them');
        $_->disconnect for @clients;
    },
);

my $case = $cases{ $ARGV[0] } or die "no case $ARGV[0]\n";
$case->();
done_testing();
