//! Owns what visitors are told on pages of this program's own, in the languages that it has.
//! Never decides what is to be told.

/// The words of one language.
#[derive(Debug)]
pub(super) struct Words {
    /// The tag by which it is asked for (RFC 5646), and named in the answer.
    pub(super) tag: &'static str,
    pub(super) busy: Text,
    pub(super) down: Text,
    pub(super) maintenance: Text,
    /// Of a form or order that did not reach the application.
    pub(super) not_sent: Text,
    /// Of one of which nobody knows.
    pub(super) may_have_arrived: Text,
    /// Of what strangers are sent of the page: what that is, and the button for it.
    pub(super) public: (&'static str, &'static str),
    /// Before and after a number of seconds.
    pub(super) again: (&'static str, &'static str),
    pub(super) waiting: Line,
}

/// What is said in the waiting room.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: Text,
    /// Before the number of the place.
    pub(super) place: &'static str,
    /// It takes less than a minute.
    pub(super) soon: &'static str,
    /// Before and after a number of minutes.
    pub(super) minutes: (&'static str, &'static str),
    /// It takes more than an hour.
    pub(super) long: &'static str,
}

/// A heading and a sentence.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) title: &'static str,
    pub(super) body: &'static str,
}

/// The words for whoever asks by this `Accept-Language` (RFC 9110 §12.5.4), English for all others.
pub(super) fn words(accepted: &[u8]) -> &'static Words {
    let mut best: (&Words, u16) = (&LANGUAGES[0], 0);
    for range in accepted.split(|&byte| byte == b',') {
        let mut parts = range.split(|&byte| byte == b';');
        let tag = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.find_map(weight).unwrap_or(1_000);
        let primary = tag.split(|&byte| byte == b'-').next().unwrap_or_default();
        let is_it = |words: &&Words| words.tag.as_bytes().eq_ignore_ascii_case(primary);
        if let Some(found) = LANGUAGES.iter().find(is_it)
            && weight > best.1
        {
            best = (found, weight);
        }
    }
    best.0
}

/// `q=0.5` as thousandths; `None` for any other parameter.
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = parameter.trim_ascii().strip_prefix(b"q=")?;
    let value = std::str::from_utf8(value).ok()?.parse::<f32>().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from a float saturates"
    )]
    let thousandths = (value.clamp(0.0, 1.0) * 1_000.0) as u16;
    Some(thousandths)
}

/// English is the first.
static LANGUAGES: [Words; 6] = [
    Words {
        tag: "en",
        busy: Text {
            title: "A lot is going on here right now",
            body: "There are more visitors than this page can be made for at once. It will be your \
                   turn soon.",
        },
        down: Text {
            title: "This page is not available at the moment",
            body: "It should be back soon. Other pages may still work.",
        },
        maintenance: Text {
            title: "The site is being worked on",
            body: "It will be back soon. Thank you for your patience.",
        },
        not_sent: Text {
            title: "Your request was not sent",
            body: "It did not reach the site, so nothing has happened. Please try again in a moment.",
        },
        may_have_arrived: Text {
            title: "There was no answer to your request",
            body: "It may have arrived all the same. Please look whether it did before you send it \
                   again.",
        },
        public: (
            "There is a version of this page as visitors see it who are not signed in. Nothing of yours is in it.",
            "Show the public version",
        ),
        again: ("This page tries again by itself in ", " seconds."),
        waiting: Line {
            text: Text {
                title: "You are in line",
                body: "There are more visitors than can be served at once. Leave this page open: you keep your place, and the page comes by itself when it is your turn.",
            },
            place: "Your place:",
            soon: "It will take less than a minute.",
            minutes: ("It will take about ", " min."),
            long: "It will take more than an hour.",
        },
    },
    Words {
        tag: "de",
        busy: Text {
            title: "Hier ist gerade sehr viel los",
            body: "Es sind mehr Besucher da, als diese Seite auf einmal bedienen kann. Gleich sind \
                   Sie an der Reihe.",
        },
        down: Text {
            title: "Diese Seite ist im Moment nicht erreichbar",
            body: "Sie sollte bald wieder da sein. Andere Seiten gehen vielleicht noch.",
        },
        maintenance: Text {
            title: "Hier wird gerade gearbeitet",
            body: "Die Seite ist bald wieder da. Danke für Ihre Geduld.",
        },
        not_sent: Text {
            title: "Ihre Anfrage wurde nicht gesendet",
            body: "Sie hat die Seite nicht erreicht, es ist also nichts geschehen. Bitte versuchen \
                   Sie es gleich noch einmal.",
        },
        may_have_arrived: Text {
            title: "Auf Ihre Anfrage kam keine Antwort",
            body: "Sie kann trotzdem angekommen sein. Bitte sehen Sie nach, bevor Sie sie noch \
                   einmal senden.",
        },
        public: (
            "Es gibt diese Seite in der Fassung für Besucher, die nicht angemeldet sind. Von Ihnen steht darin nichts.",
            "Öffentliche Fassung zeigen",
        ),
        again: (
            "Diese Seite versucht es in ",
            " Sekunden von selbst noch einmal.",
        ),
        waiting: Line {
            text: Text {
                title: "Sie stehen in der Warteschlange",
                body: "Es sind mehr Besucher da, als auf einmal bedient werden können. Lassen Sie diese Seite offen: Sie behalten Ihren Platz, und wenn Sie an der Reihe sind, kommt die Seite von selbst.",
            },
            place: "Ihr Platz:",
            soon: "Es dauert weniger als eine Minute.",
            minutes: ("Es dauert etwa ", " Min."),
            long: "Es dauert mehr als eine Stunde.",
        },
    },
    Words {
        tag: "fr",
        busy: Text {
            title: "Il y a beaucoup de monde en ce moment",
            body: "Il y a plus de visiteurs que cette page ne peut en servir à la fois. Ce sera \
                   bientôt votre tour.",
        },
        down: Text {
            title: "Cette page n’est pas disponible pour le moment",
            body: "Elle devrait revenir bientôt. D’autres pages fonctionnent peut-être encore.",
        },
        maintenance: Text {
            title: "Le site est en maintenance",
            body: "Il sera bientôt de retour. Merci de votre patience.",
        },
        not_sent: Text {
            title: "Votre demande n’a pas été envoyée",
            body: "Elle n’est pas arrivée au site : rien ne s’est passé. Veuillez réessayer dans un \
                   instant.",
        },
        may_have_arrived: Text {
            title: "Votre demande est restée sans réponse",
            body: "Elle est peut-être arrivée quand même. Veuillez vérifier avant de l’envoyer de \
                   nouveau.",
        },
        public: (
            "Il existe une version de cette page telle que la voient les visiteurs non connectés. Rien de personnel n’y figure.",
            "Afficher la version publique",
        ),
        again: ("Cette page réessaie d’elle-même dans ", " secondes."),
        waiting: Line {
            text: Text {
                title: "Vous êtes dans la file d’attente",
                body: "Il y a plus de visiteurs que l’on ne peut en servir à la fois. Laissez cette page ouverte : vous gardez votre place, et la page s’affichera d’elle-même quand ce sera votre tour.",
            },
            place: "Votre place :",
            soon: "L’attente est de moins d’une minute.",
            minutes: ("L’attente est d’environ ", " min."),
            long: "L’attente est de plus d’une heure.",
        },
    },
    Words {
        tag: "es",
        busy: Text {
            title: "Ahora mismo hay mucha gente",
            body: "Hay más visitantes de los que esta página puede atender a la vez. Pronto será su \
                   turno.",
        },
        down: Text {
            title: "Esta página no está disponible en este momento",
            body: "Debería volver pronto. Quizá otras páginas sigan funcionando.",
        },
        maintenance: Text {
            title: "El sitio está en mantenimiento",
            body: "Volverá pronto. Gracias por su paciencia.",
        },
        not_sent: Text {
            title: "Su solicitud no se ha enviado",
            body: "No ha llegado al sitio, así que no ha pasado nada. Inténtelo de nuevo en un \
                   momento.",
        },
        may_have_arrived: Text {
            title: "Su solicitud no ha tenido respuesta",
            body: "Aun así puede haber llegado. Compruébelo antes de enviarla otra vez.",
        },
        public: (
            "Hay una versión de esta página tal como la ven los visitantes sin sesión. No contiene nada suyo.",
            "Mostrar la versión pública",
        ),
        again: (
            "Esta página lo intenta de nuevo por sí sola en ",
            " segundos.",
        ),
        waiting: Line {
            text: Text {
                title: "Está en la cola de espera",
                body: "Hay más visitantes de los que se pueden atender a la vez. Deje esta página abierta: conserva su lugar, y la página aparecerá sola cuando sea su turno.",
            },
            place: "Su lugar:",
            soon: "La espera es de menos de un minuto.",
            minutes: ("La espera es de unos ", " min."),
            long: "La espera es de más de una hora.",
        },
    },
    Words {
        tag: "pt",
        busy: Text {
            title: "Há muita gente aqui neste momento",
            body: "Há mais visitantes do que esta página consegue atender de uma vez. Em breve será \
                   a sua vez.",
        },
        down: Text {
            title: "Esta página não está disponível neste momento",
            body: "Deve voltar em breve. Outras páginas talvez ainda funcionem.",
        },
        maintenance: Text {
            title: "O site está em manutenção",
            body: "Voltará em breve. Obrigado pela sua paciência.",
        },
        not_sent: Text {
            title: "O seu pedido não foi enviado",
            body: "Não chegou ao site, portanto nada aconteceu. Tente novamente daqui a pouco.",
        },
        may_have_arrived: Text {
            title: "O seu pedido ficou sem resposta",
            body: "Mesmo assim pode ter chegado. Verifique antes de o enviar outra vez.",
        },
        public: (
            "Há uma versão desta página tal como a veem os visitantes sem sessão. Nada seu está nela.",
            "Mostrar a versão pública",
        ),
        again: ("Esta página tenta de novo sozinha em ", " segundos."),
        waiting: Line {
            text: Text {
                title: "Está na fila de espera",
                body: "Há mais visitantes do que é possível atender de uma vez. Deixe esta página aberta: mantém o seu lugar, e a página aparece sozinha quando for a sua vez.",
            },
            place: "O seu lugar:",
            soon: "A espera é de menos de um minuto.",
            minutes: ("A espera é de cerca de ", " min."),
            long: "A espera é de mais de uma hora.",
        },
    },
    Words {
        tag: "id",
        busy: Text {
            title: "Pengunjung sedang sangat banyak",
            body: "Ada lebih banyak pengunjung daripada yang dapat dilayani halaman ini sekaligus. \
                   Sebentar lagi giliran Anda.",
        },
        down: Text {
            title: "Halaman ini sedang tidak tersedia",
            body: "Halaman ini akan segera kembali. Halaman lain mungkin masih bisa dibuka.",
        },
        maintenance: Text {
            title: "Situs sedang dalam pemeliharaan",
            body: "Situs akan segera kembali. Terima kasih atas kesabaran Anda.",
        },
        not_sent: Text {
            title: "Permintaan Anda tidak terkirim",
            body: "Permintaan itu tidak sampai ke situs, jadi tidak terjadi apa-apa. Silakan coba \
                   lagi sebentar lagi.",
        },
        may_have_arrived: Text {
            title: "Permintaan Anda tidak dijawab",
            body: "Mungkin permintaan itu tetap sampai. Periksa dahulu sebelum mengirimnya lagi.",
        },
        public: (
            "Ada versi halaman ini seperti yang dilihat pengunjung yang tidak masuk. Tidak ada data Anda di dalamnya.",
            "Tampilkan versi publik",
        ),
        again: ("Halaman ini mencoba lagi sendiri dalam ", " detik."),
        waiting: Line {
            text: Text {
                title: "Anda berada dalam antrean",
                body: "Ada lebih banyak pengunjung daripada yang dapat dilayani sekaligus. Biarkan halaman ini terbuka: tempat Anda tidak hilang, dan halaman akan muncul sendiri saat giliran Anda tiba.",
            },
            place: "Urutan Anda:",
            soon: "Waktu tunggu kurang dari satu menit.",
            minutes: ("Waktu tunggu sekitar ", " menit."),
            long: "Waktu tunggu lebih dari satu jam.",
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_wanted_most_is_spoken() {
        for (accepted, expected) in [
            ("", "en"),
            ("de", "de"),
            ("de-CH,de;q=0.9,en;q=0.8", "de"),
            ("ja, fr;q=0.4, pt-BR;q=0.5", "pt"),
            ("en;q=0.1, ES ; q=0.9", "es"),
            ("id;q=0, de;q=x", "de"),
            ("*", "en"),
            ("dede", "en"),
        ] {
            assert_eq!(words(accepted.as_bytes()).tag, expected, "{accepted}");
        }
    }
}
