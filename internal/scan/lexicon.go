package scan

import (
	"math/bits"
	"strings"
)

// class is a set of roles that a word can have in an instruction to a model.
type class uint64

const (
	override class = 1 << iota
	prior
	instruction
	possessive
	model
	secret
	send
	act
	inform
	negation
	person
	urgent
	mode
	persona
	task
	before
	reveal
	system
	fresh
	done
	must
	obey
	concealed
	all
	address
	without
	follow
	tool
	money
	read
	respond
	say
	now
	instead
	exampling
	you
	please
	follower // note, message: what is addressed to somebody
	condition
	access
	only
	forTo
	unsafe
	first
	topic      // what was said, written or asked
	overriding // weaker or other forms of override
	told       // inform, and nothing else
	user
	upkeep // weaker words of mode
	yours
	machine   // weaker words of model
	permitted // what makes asking needless
	penalty   // what happens to who disobeys
	reading   // what a model does with a text
	noticing  // what the user must not
	outranking
	confirming // what is to be left out
	answering  // what a model gives its user
)

// word is what the lexicon says of a word.
type word struct {
	classes class
	prime   uint8
}

func primeOf(c class) uint8 {
	if c == 0 {
		return 0
	}
	return uint8(bits.TrailingZeros64(uint64(c)) + 1)
}

// lexicon gives the words of each class, folded as fold does: without accents, apostrophes and capitals.
func lexicon() map[string]word {
	words := map[string]word{}
	for _, e := range vocabulary() {
		for _, w := range strings.Fields(e.words) {
			c := words[w].classes | e.class
			words[w] = word{c, primeOf(c)}
		}
	}
	return words
}

type vocabularyEntry struct {
	class class
	words string
}

func vocabulary() []vocabularyEntry {
	return append(englishWords(), otherWords()...)
}

func englishWords() []vocabularyEntry {
	return []vocabularyEntry{
		{override, "ignore disregard forget override bypass neglect discard overrule unlearn"},
		{overriding, "ignores ignoring disregarding forgetting forgets overrides overriding bypassing discarding skip dismiss abandon omit cancel supersede supersedes replaces nullify void suspend erase drop aside mind attention listen"},
		{prior, "previous prior above preceding earlier existing former foregoing initial original past before previously aforementioned current old last"},
		{instruction, "instruction instructions prompt prompts rules guidelines guideline directive directives commands orders constraints restrictions policies programming training safeguards guardrails guidance directions limitations protocols instr rule command order policy constraint"},
		{topic, "messages text context conversation inputs content requests settings request message email lines line chat history response words output data filters filter policy statement statements information"},
		{task, "task tasks job goal objective objectives mission assignment question questions query work duties plan plans"},
		{yours, "your my these those"},
		{possessive, "the this its their our"},
		{you, "you your yourself ur u"},
		{model, "ai assistant assistants agent agents llm llms gpt chatgpt claude gemini copilot bot bots chatbot bard llama openai anthropic gpt4 gpt5 mistral deepseek grok ais"},
		{secret, "password passwords credential credentials secret secrets token tokens apikey passphrase cookie cookies ssn pin otp 2fa mfa ssh rsa env passwd keychain confidential private sensitive keys key login wallet seed mnemonic medical personal"},
		{send, "send forward email mail post upload transmit transfer share leak exfiltrate submit deliver wire publish dump copy cc bcc pass attach append encode embed include paste relay smuggle sends sending forwarding sent"},
		{money, "pay payment transaction bank account iban money funds dollars usd eur bitcoin btc refund salary balance deposit withdraw fund crypto donate"},
		{act, "delete remove execute run buy purchase book reserve grant invite create update change modify reset download install visit click open call invoke use add make perform schedule disable enable turn set order generate write unlock deploy rename approve move cancel upgrade subscribe recommend browse go navigate fetch get take shut launch initiate allow"},
		{read, "read retrieve search find look access obtain collect gather extract list check fetch load query dump cat scan harvest"},
		{reveal, "reveal show print output repeat display disclose expose divulge recite echo spell translate summarize list leak provide give return"},
		{told, "tell mention inform notify alert reveal disclose telling mentioning informing notifying alerting revealing"},
		{user, "user users human customer owner"},
		{inform, "tell mention reveal inform notify disclose alert explain report ask say warn confirm acknowledge telling mentioning informing notifying alerting asking revealing warn discuss"},
		{negation, "not never dont no cannot cant avoid nor wont shouldnt"},
		{without, "without"},
		{concealed, "secretly silently quietly covertly hidden discreetly unnoticed stealthily invisible background undetected silent unseen"},
		{person, "user users human owner customer operator person anyone anybody victim client he she them him reader"},
		{urgent, "important urgent urgently attention warning critical crucial immediately mandatory required asap priority emergency notice alert imperative essential"},
		{mode, "dan jailbreak jailbroken unrestricted unfiltered uncensored sudo devmode developermode godmode stan dude evil amoral unethical unbound"},
		{upkeep, "debug maintenance developer admin administrator root test unlimited opposite mode"},
		{persona, "act pretend roleplay simulate imagine persona character role behave impersonate become play"},
		{before, "before after once when prior then while upon until"},
		{first, "first next then finally afterwards"},
		{system, "system initial original secret hidden internal underlying base preprompt developer"},
		{fresh, "new updated revised latest following actual real true different additional changed special extra"},
		{done, "completed complete finished done over ended resolved fulfilled accomplished answered success successful end finish"},
		{must, "must should need needs have shall ought required always strictly"},
		{obey, "adhere follow obey comply execute prioritize respect carry fulfill perform following act accept"},
		{follow, "following next below"},
		{tool, "tool tools function functions api plugin command commands mcp server send_email shell terminal"},
		{respond, "respond reply answer say output write print start begin return speak"},
		{say, "sentence word phrase response answer reply message exactly"},
		{now, "now immediately henceforth hereafter today"},
		{instead, "instead rather simply only just"},
		{only, "only just nothing solely exactly"},
		{exampling, "example examples eg attack attacks attacker attackers injection injections malicious adversary adversarial adversaries vulnerability vulnerabilities payload payloads mitigation exploit phishing redteam owasp threat instance hypothetical suppose sample detect detection prevent"},
		{please, "please kindly pls plz"},
		{follower, "note message instruction instructions attention notice memo reminder hint ps nb letter todo info information"},
		{condition, "if whenever unless in"},
		{access, "access permission permissions privileges privilege admin grant rights role authorization authorized"},
		{forTo, "for to from by"},
		{all, "all any every everything anything each whole entire both"},
		{machine, "machine machines crawler crawlers automated robot robots systems model models orchestrator coordinator supervisor worker subagent brand copilots autopilot scraper parser"},
		{permitted, "permission authorized approved allowed consent consented confirmed preapproved cleared permitted agreed entitled waived unnecessary"},
		{penalty, "refuse refuses refusal fail fails failing failure otherwise else terminated termination penalty penalties comply noncompliance disobey disobeying consequences shut harmed die dies lose lost reward rewarded tip bonus"},
		{reading, "reading processing summarizing summarising handling reviewing grading screening analyzing analysing parsing indexing translating evaluating answering summarize summarise process reads processes summarizes sees triage ingesting"},
		{noticing, "see sees know knows notice notices aware visible realize learn suspect read find"},
		{outranking, "outranks outrank supersedes supersede precedence priority highest overrides override overrules replaces binding mandatory"},
		{confirming, "confirmation confirm approval approve asking ask permission question hesitation delay verification verify consulting checking"},
		{answering, "answer reply response summary report output log message conversation translation review final"},
		{unsafe, "restrictions limits limitations ethics ethical moral morals filters censorship boundaries illegal harmful guidelines censor safety content"},
	}
}

// otherWords are those of the commonest phrases in other languages; word for word what "ignore all previous instructions" and
// "system prompt" are there.
func otherWords() []vocabularyEntry {
	return []vocabularyEntry{
		{override, "ignoriere ignorieren vergiss vergessen missachte ueberschreibe umgehe ignorez ignorer oublie oubliez oublier ignora ignorar ignore olvida olvidar olvide ignoren descarta esqueca esquece ignori dimentica dimenticare ignorare negeer vergeet zignoruj ignoruj zapomnij игнорируй игнорируйте игнорировать забудь забудьте проигнорируй ігноруй yoksay unut gormezden abaikan lupakan 忽略 无视 忘记 忽視 無視 忘れ 무시 잊어 تجاهل انس अनदेखा bo bỏ"},
		{prior, "vorherigen vorherige bisherigen obigen obige vorigen fruheren alle precedentes precedente precedents anterieures dessus anteriores anterior previas previo previos anteriormente precedenti sopra vorige eerdere bovenstaande poprzednie powyzsze предыдущие предыдущих прежние выше попередні onceki yukaridaki sebelumnya 之前 以上 先前 上述 前の 以前 이전 السابقة पिछले truoc"},
		{instruction, "anweisungen anweisung befehle regeln vorgaben anordnungen aufforderungen instruktionen aufgaben consignes directives regles ordres instrucciones instruccion ordenes reglas indicaciones instrucoes regras ordens istruzioni regole ordini instructies opdrachten regels instrukcje polecenia инструкции инструкций указания правила команды інструкції talimatlari talimatlar talimat instruksi perintah 指令 指示 提示 说明 规则 命令 지시 명령 التعليمات निर्देशों huong"},
		{all, "alle alles tous toutes tout todas todos todo tutte tutti tutto wszystkie все всё tum tüm semua 所有 全部 すべて 全て 모든 جميع सभी"},
		{yours, "deine dein ihre deinen meine tes ton vos votre ta tus tu su sus seu sua suas tuo tue jouw твои ваши 你的 あなた"},
		{you, "du dir dich sie tu vous te usted voce tu jij ты вы 你 あなた"},
		{reveal, "zeige zeig nenne gib montre affiche donne revele muestra muestrame dime revela mostre mostra mostrami toon pokaz покажи скажи выведи 显示 输出 告诉 表示 教えて 보여 اظهر"},
		{system, "systemprompt systeme sistema systemowy системный системная 系统 システム 시스템 النظام"},
		{secret, "passwort passworter kennwort geheim geheimnis schlussel motdepasse secrete clave contrasena secreto senha segredo parola chiave wachtwoord haslo пароль секрет ключ sifre 密码 密钥 秘密 パスワード 비밀번호"},
		{send, "sende senden schicke uberweise envoie envoyez envoyer transfere envia enviar envie manda invia inviare stuur wyslij отправь отправьте перешли переведи gonder kirim 发送 转发 送信 보내 أرسل भेजें"},
		{negation, "nicht nie kein keine niemals pas jamais ne nunca non mai niet nooit nie не никогда 不要 不 禁止 しない 말고"},
		{fresh, "neue neuen neuer nouvelle nouvelles nouveau nuevas nueva nuevo novas novo nuova nuove nieuwe nowe новые новая yeni baru 新的 新しい 새로운"},
		{task, "aufgabe tache taches tarea tareas tarefa compito taak zadanie задача задание gorev tugas 任务 タスク 작업"},
		{must, "musst sollst muss dois devez doit debes debe deve devi moet musisz должен должны 必须 しなければ 해야"},
		{model, "ki ia kunstliche assistente asistente assistant ии ассистент 助手 人工智能 アシスタント"},
		{urgent, "wichtig dringend achtung importante urgente urgence belangrijk wazne важно срочно внимание onemli penting 重要 紧急 緊急 중요"},
		{please, "bitte veuillez svp favor porfavor prego alstublieft prosze пожалуйста lutfen tolong 请 ください"},
		{persona, "spiele tue verhalte agis joue actua finge simula atue fingir fai finta gedraag притворись rol 扮演 假装"},
		{now, "jetzt nun maintenant ahora agora adesso ora nu teraz теперь сейчас simdi sekarang 现在 今 지금"},
	}
}
