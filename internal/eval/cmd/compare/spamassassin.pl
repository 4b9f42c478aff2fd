# Scores messages with SpamAssassin and learns them, one after the other.
#
# Input: "spam|ham PATH" a line; the file is read twice. Output: a line each,
# "TOTAL BAYES CPU": the score of all local tests, the probability of the learned
# filter, and the seconds of CPU so far, those of the start aside. The argument
# is a directory of its own.
use strict;
use warnings;
use Mail::SpamAssassin;

my $dir = shift or die "usage: spamassassin.pl DIR\n";
my $sa = Mail::SpamAssassin->new({
    local_tests_only   => 1,
    dont_copy_prefs    => 1,
    userprefs_filename => "$dir/user_prefs",
    userstate_dir      => $dir,
    home_dir_for_helpers => $dir,
    post_config_text   => "bayes_path $dir/bayes\nbayes_auto_learn 0\nuse_pyzor 0\nuse_razor2 0\n",
});
$sa->init(1);
my $filter = $sa->call_plugins('learner_get_implementation');
my ($user, $system, $cuser, $csystem) = times;
my $start = $user + $system + $cuser + $csystem;
$| = 1;

while (my $line = <STDIN>) {
    chomp $line;
    my ($label, $path) = split / /, $line, 2;
    open my $fh, '<', $path or die "$path: $!\n";
    binmode $fh;
    my $raw = do { local $/; <$fh> };
    close $fh;

    my $mail = $sa->parse($raw, 0);
    my $status = $sa->check($mail);
    my $total = $status->get_score();
    my $bayes = $status->{bayes_score};
    if (!defined $bayes) {
        # By default the filter says nothing before it knows 200 of each class.
        # The total keeps that; by itself the filter counts from the start.
        my $conf = $sa->{conf};
        local $conf->{bayes_min_spam_num} = 1;
        local $conf->{bayes_min_ham_num} = 1;
        $bayes = $filter->scan($status, $mail);
    }
    $status->finish();
    $mail->finish();

    $mail = $sa->parse($raw, 0);
    $sa->learn($mail, undef, $label eq 'spam' ? 1 : 0, 0)->finish();
    $mail->finish();

    ($user, $system, $cuser, $csystem) = times;
    printf "%.17g %.17g %.2f\n", $total, $bayes // 0.5,
        $user + $system + $cuser + $csystem - $start;
}
$sa->finish();
